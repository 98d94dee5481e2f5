// Package openapi holds the description of the API: the single source that the server publishes and the tests hold it to.
package openapi

import _ "embed"

// Spec is the OpenAPI 3.1 document, in YAML.
//
//go:embed openapi.yaml
var Spec []byte
