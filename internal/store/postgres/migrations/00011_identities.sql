-- Who signs in through an OpenID provider.

-- +goose Up

-- An identity stays when its user is deleted: whoever was sent away is not let in again as somebody new.
CREATE TABLE identities (
  issuer    text COLLATE "C" NOT NULL,
  subject   text COLLATE "C" NOT NULL, -- the provider's id of the person, for ever the same
  user_id   text COLLATE "C" NOT NULL,
  linked_at timestamptz NOT NULL,
  PRIMARY KEY (issuer, subject)
);

-- One identity of each provider for a user.
CREATE UNIQUE INDEX identities_user ON identities (user_id, issuer);

-- +goose Down

DROP TABLE identities;
