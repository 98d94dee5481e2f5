-- Who signs in through an OpenID provider.

-- +goose Up

-- An identity stays when its user is deleted: whoever was sent away is not let in again as somebody new.
CREATE TABLE identities (
  issuer    TEXT    NOT NULL,
  subject   TEXT    NOT NULL, -- the provider's id of the person, for ever the same
  user_id   TEXT    NOT NULL,
  linked_at INTEGER NOT NULL,
  PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;

-- One identity of each provider for a user.
CREATE UNIQUE INDEX identities_user ON identities (user_id, issuer);

-- +goose Down

DROP TABLE identities;
