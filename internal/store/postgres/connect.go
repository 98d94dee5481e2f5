package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// ConnectSettings implements store.Links.
func (s *Store) ConnectSettings(ctx context.Context, environmentID string) (store.ConnectSettings, error) {
	row, err := s.queries.ConnectSettings(ctx, environmentID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return store.ConnectSettings{}, fault(fmt.Errorf("connect settings of environment %q: %w", environmentID, err))
	}
	return store.ConnectSettings{Origins: strings.Fields(row.Origins), Redirect: row.Redirect}, nil
}

// SetConnectSettings implements store.Links.
func (s *Store) SetConnectSettings(ctx context.Context, environmentID string, c store.ConnectSettings) error {
	n, err := s.queries.SetConnectSettings(ctx, dbq.SetConnectSettingsParams{
		EnvironmentID: environmentID, Origins: strings.Join(c.Origins, " "), Redirect: c.Redirect,
	})
	if err = alone(err); err == nil && n == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("set connect settings of environment %q: %w", environmentID, fault(err))
	}
	return nil
}

// CreateLink implements store.Links.
func (s *Store) CreateLink(ctx context.Context, l store.Link, hash [32]byte, good time.Duration) (store.Link, error) {
	err := s.change(ctx, func(ctx context.Context, tx *transaction) error {
		if err := tx.there(ctx, l.EnvironmentID); err != nil {
			return err
		}
		row, err := tx.InsertLink(ctx, dbq.InsertLinkParams{
			Hash: hash[:], EnvironmentID: l.EnvironmentID, Purpose: int16(l.Purpose), IntegrationID: nullText(l.IntegrationID),
			Tool: nullText(l.Tool), Category: l.Category, Language: l.Language, Organisation: l.EndUser.OrganisationName,
			Email: nullText(l.EndUser.CreatorEmail), OriginID: nullText(l.EndUser.OriginID), Good: good,
		})
		l.CreatedAt, l.ExpiresAt = row.CreatedAt.UTC(), row.ExpiresAt.UTC()
		return taken(err)
	})
	if err != nil {
		return store.Link{}, fmt.Errorf("create link: %w", err)
	}
	return l, nil
}

// Link implements store.Links.
func (s *Store) Link(ctx context.Context, hash [32]byte) (store.Link, error) {
	row, err := s.queries.Link(ctx, hash[:])
	if err != nil {
		return store.Link{}, fmt.Errorf("link: %w", missing(err))
	}
	l := store.Link{
		EnvironmentID: row.EnvironmentID, Purpose: store.Purpose(row.Purpose), IntegrationID: text(row.IntegrationID),
		Tool: text(row.Tool), Category: row.Category, Language: row.Language,
		EndUser:   store.EndUser{OrganisationName: row.Organisation, CreatorEmail: text(row.Email), OriginID: text(row.OriginID)},
		CreatedAt: row.CreatedAt.UTC(), ExpiresAt: row.ExpiresAt.UTC(), UsedAt: nullTime(row.UsedAt),
	}
	copy(l.Token[:], row.Token)
	return l, nil
}

// TryLink implements store.Links.
func (s *Store) TryLink(ctx context.Context, hash [32]byte, most int, within time.Duration) (bool, error) {
	tries, err := s.queries.TryLink(ctx, dbq.TryLinkParams{Hash: hash[:], Period: within, Most: int32(most) + 1})
	if err != nil {
		return false, fmt.Errorf("try link: %w", missing(alone(err)))
	}
	return int(tries) <= most, nil
}

// UseLink implements store.Links. The drain's row is locked first, as by everybody.
func (s *Store) UseLink(ctx context.Context, hash [32]byte, use store.LinkUse) (out store.Integration, err error) {
	in := use.Integration
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		if err := tx.LockDrainOf(ctx, in.ID); err != nil {
			return err
		}
		link, err := tx.UseLink(ctx, dbq.UseLinkParams{Hash: hash[:], IntegrationID: in.ID, Token: use.Token[:], TokenFor: use.TokenFor})
		if err != nil {
			return missing(err)
		}
		if use.Entry.Action != "" {
			if _, err := tx.record(ctx, use.Entry); err != nil {
				return err
			}
		}
		if store.Purpose(link.Purpose) == store.Connect {
			in.EnvironmentID = link.EnvironmentID
			out, err = tx.addIntegration(ctx, in)
			return err
		}
		row, err := tx.setAccount(ctx, in.ID, in.Settings, in.Credentials)
		if err != nil {
			return missing(err)
		}
		out = integration(row)
		return tx.ReviveDrain(ctx, row.Seq)
	})
	if err != nil {
		return store.Integration{}, fmt.Errorf("use link: %w", err)
	}
	return out, nil
}

// IntegrationByToken implements store.Links.
func (s *Store) IntegrationByToken(ctx context.Context, environmentID string, token [32]byte) (store.Integration, error) {
	row, err := s.queries.IntegrationByToken(ctx, dbq.IntegrationByTokenParams{Token: token[:], EnvironmentID: environmentID})
	if err != nil {
		return store.Integration{}, fmt.Errorf("integration by token: %w", missing(err))
	}
	return integration(row), nil
}

// ForgetLinks implements store.Links.
func (s *Store) ForgetLinks(ctx context.Context, keep time.Duration, limit int) (int, error) {
	n, err := s.queries.ForgetLinks(ctx, dbq.ForgetLinksParams{Keep: keep, Most: int32(limit)})
	if err != nil {
		return 0, fault(fmt.Errorf("forget links: %w", alone(err)))
	}
	return int(n), nil
}
