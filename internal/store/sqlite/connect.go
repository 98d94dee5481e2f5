package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

// ConnectSettings implements store.Links.
func (s *Store) ConnectSettings(ctx context.Context, environmentID string) (store.ConnectSettings, error) {
	row, err := s.queries.ConnectSettings(ctx, environmentID)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return store.ConnectSettings{}, fault(fmt.Errorf("connect settings of environment %q: %w", environmentID, err))
	}
	return store.ConnectSettings{Origins: strings.Fields(row.Origins), Redirect: row.Redirect}, nil
}

// SetConnectSettings implements store.Links.
func (s *Store) SetConnectSettings(ctx context.Context, environmentID string, c store.ConnectSettings) error {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		n, err := tx.SetConnectSettings(ctx, dbq.SetConnectSettingsParams{
			EnvironmentID: environmentID, Origins: strings.Join(c.Origins, " "), Redirect: c.Redirect,
		})
		if err == nil && n == 0 {
			err = refuse(store.ErrNotFound)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("set connect settings of environment %q: %w", environmentID, err)
	}
	return nil
}

// CreateLink implements store.Links.
func (s *Store) CreateLink(ctx context.Context, l store.Link, hash [32]byte, good time.Duration) (store.Link, error) {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		if err := tx.there(ctx, l.EnvironmentID); err != nil {
			return err
		}
		l.CreatedAt, l.ExpiresAt = fromMillis(tx.now), fromMillis(tx.now+good.Milliseconds())
		return taken(tx.InsertLink(ctx, dbq.InsertLinkParams{
			Hash: hash[:], EnvironmentID: l.EnvironmentID, Purpose: int64(l.Purpose), IntegrationID: nullText(l.IntegrationID),
			Tool: nullText(l.Tool), Category: l.Category, Language: l.Language, Organisation: l.EndUser.OrganisationName,
			Email: nullText(l.EndUser.CreatorEmail), OriginID: nullText(l.EndUser.OriginID),
			CreatedAt: tx.now, ExpiresAt: l.ExpiresAt.UnixMilli(),
		}))
	})
	if err != nil {
		return store.Link{}, fmt.Errorf("create link: %w", err)
	}
	return l, nil
}

// Link implements store.Links.
func (s *Store) Link(ctx context.Context, hash [32]byte) (store.Link, error) {
	row, err := s.queries.Link(ctx, dbq.LinkParams{Hash: hash[:], Now: s.now().UnixMilli()})
	if err != nil {
		return store.Link{}, fmt.Errorf("link: %w", missing(err))
	}
	l := store.Link{
		EnvironmentID: row.EnvironmentID, Purpose: store.Purpose(row.Purpose), IntegrationID: row.IntegrationID.String,
		Tool: row.Tool.String, Category: row.Category, Language: row.Language,
		EndUser:   store.EndUser{OrganisationName: row.Organisation, CreatorEmail: row.Email.String, OriginID: row.OriginID.String},
		CreatedAt: fromMillis(row.CreatedAt), ExpiresAt: fromMillis(row.ExpiresAt), UsedAt: fromNullMillis(row.UsedAt),
	}
	copy(l.Token[:], row.Token)
	return l, nil
}

// TryLink implements store.Links.
func (s *Store) TryLink(ctx context.Context, hash [32]byte, most int, within time.Duration) (bool, error) {
	var tries int64
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) (err error) {
		tries, err = tx.TryLink(ctx, dbq.TryLinkParams{Hash: hash[:], Now: tx.now, Since: tx.now - within.Milliseconds(), Most: int64(most) + 1})
		return absent(err)
	})
	if err != nil {
		return false, fmt.Errorf("try link: %w", err)
	}
	return tries <= int64(most), nil
}

// UseLink implements store.Links.
func (s *Store) UseLink(ctx context.Context, hash [32]byte, use store.LinkUse) (out store.Integration, err error) {
	in := use.Integration
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		link, err := tx.UseLink(ctx, dbq.UseLinkParams{
			Hash: hash[:], Now: sql.NullInt64{Int64: tx.now, Valid: true}, IntegrationID: nullText(in.ID), Token: use.Token[:],
			TokenExpiresAt: sql.NullInt64{Int64: tx.now + use.TokenFor.Milliseconds(), Valid: true},
		})
		if err != nil {
			return absent(err)
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
		return tx.revive(ctx, row.Seq)
	})
	if err != nil {
		return store.Integration{}, fmt.Errorf("use link: %w", err)
	}
	return out, nil
}

// IntegrationByToken implements store.Links.
func (s *Store) IntegrationByToken(ctx context.Context, environmentID string, token [32]byte) (store.Integration, error) {
	row, err := s.queries.IntegrationByToken(ctx, dbq.IntegrationByTokenParams{
		Token: token[:], EnvironmentID: environmentID, Now: sql.NullInt64{Int64: s.now().UnixMilli(), Valid: true},
	})
	if err != nil {
		return store.Integration{}, fmt.Errorf("integration by token: %w", missing(err))
	}
	return integration(row), nil
}

// ForgetLinks implements store.Links.
func (s *Store) ForgetLinks(ctx context.Context, keep time.Duration, limit int) (int, error) {
	var n int64
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) (err error) {
		n, err = tx.ForgetLinks(ctx, dbq.ForgetLinksParams{Before: tx.now - keep.Milliseconds(), Most: int64(min(limit, upkeepRows))})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget links: %w", err)
	}
	return int(n), nil
}
