package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/crosswalk-hr/crosswalk/internal/dashboard"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// openIDSecretVariable holds the client secret: it is no flag, since other users of the machine can see flags.
const openIDSecretVariable = "CROSSWALK_OIDC_CLIENT_SECRET" //nolint:gosec // its name, not the secret

// openID is embedded in what serves the dashboard.
type openID struct {
	OIDCIssuer           string   `name:"oidc-issuer" help:"OpenID provider through which people may sign in to the dashboard, beside passwords." env:"CROSSWALK_OIDC_ISSUER" placeholder:"URL"`
	OIDCClientID         string   `name:"oidc-client-id" help:"What the provider calls this server." env:"CROSSWALK_OIDC_CLIENT_ID" placeholder:"ID"`
	OIDCClientSecretFile string   `name:"oidc-client-secret-file" help:"File with the secret it gave; or the secret itself as CROSSWALK_OIDC_CLIENT_SECRET." env:"CROSSWALK_OIDC_CLIENT_SECRET_FILE" type:"path" placeholder:"FILE"`
	OIDCName             string   `name:"oidc-name" help:"What people call the provider; its host if not given." env:"CROSSWALK_OIDC_NAME" placeholder:"NAME"`
	OIDCAllowedDomains   []string `name:"oidc-allowed-domains" help:"Domains of verified e-mail addresses whose owners get an account when they first sign in; none if not given." env:"CROSSWALK_OIDC_ALLOWED_DOMAINS" placeholder:"DOMAIN"`
	OIDCRole             string   `name:"oidc-role" help:"Role of such accounts: viewer or member." enum:"viewer,member" default:"viewer" env:"CROSSWALK_OIDC_ROLE" placeholder:"ROLE"`
}

// settings are nil without an issuer.
func (o openID) settings() (*dashboard.OpenIDSettings, error) {
	if o.OIDCIssuer == "" {
		if o.OIDCClientID != "" || o.OIDCClientSecretFile != "" || len(o.OIDCAllowedDomains) > 0 {
			return nil, misuse("the --oidc flags say how people sign in through a provider: give --oidc-issuer, too")
		}
		return nil, nil //nolint:nilnil // no provider is no error
	}
	secret, inVariable := os.LookupEnv(openIDSecretVariable)
	switch {
	case o.OIDCClientSecretFile != "" && inVariable:
		return nil, misuse("the client secret is in both --oidc-client-secret-file and %s: leave one out", openIDSecretVariable)
	case o.OIDCClientSecretFile == "-":
		return nil, errors.New("--oidc-client-secret-file takes a file")
	case o.OIDCClientSecretFile != "":
		var err error
		if secret, err = readValue(nil, o.OIDCClientSecretFile); err != nil {
			return nil, fmt.Errorf("--oidc-client-secret-file: %w", err)
		}
	}
	role, _ := store.ParseRole(o.OIDCRole) // the flag is one of them
	return &dashboard.OpenIDSettings{
		Issuer: o.OIDCIssuer, ClientID: o.OIDCClientID, ClientSecret: secret, Name: o.OIDCName, AllowedDomains: o.OIDCAllowedDomains, Role: role,
	}, nil
}
