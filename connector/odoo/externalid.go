package odoo

import (
	"fmt"
	"strings"
)

// externalID is the external id of a skill: two of the same module differ if their origin ids do. Odoo takes what is before
// the first dot as the module, and lets the name hold anything but blanks. Blanks and control characters are written as in
// an address, and so is the percent sign; everything else stays readable. The name of an origin id of 512 characters, the
// longest there are, has at most 2048 bytes, which fit into Odoo's index.
func externalID(module, originID string) string {
	var b strings.Builder
	b.Grow(len(module) + 1 + len(originID))
	b.WriteString(module)
	b.WriteByte('.')
	for i := range len(originID) {
		if c := originID[i]; c <= ' ' || c == '%' || c == 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// externalName is the part behind the dot.
func externalName(originID string) string { return externalID("", originID)[1:] }

// originID is what externalID was made of; false if it did not make it.
func originID(module, external string) (string, bool) {
	name, ours := strings.CutPrefix(external, module+".")
	if !ours || name == "" {
		return "", false
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '%' {
			b.WriteByte(name[i])
			continue
		}
		var c byte
		if len(name) < i+3 {
			return "", false
		}
		if _, err := fmt.Sscanf(name[i+1:i+3], "%02X", &c); err != nil {
			return "", false
		}
		b.WriteByte(c)
		i += 2
	}
	origin := b.String()
	return origin, externalID(module, origin) == external // another spelling is another id
}

// typeModule is the module of the external ids of skill types, so that they cannot be those of skills.
func typeModule(module string) string { return module + "_types" }
