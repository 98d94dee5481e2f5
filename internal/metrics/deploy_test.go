package metrics_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pb33f/go-yaml"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crosswalk-hr/crosswalk/internal/metrics"
)

// described collects what is registered, children or not.
type described struct {
	prometheus.Registerer
	names map[string]bool
}

var fqName = regexp.MustCompile(`fqName: "([^"]+)"`)

func (d *described) MustRegister(collectors ...prometheus.Collector) {
	for _, c := range collectors {
		descs := make(chan *prometheus.Desc)
		go func() {
			c.Describe(descs)
			close(descs)
		}()
		for desc := range descs {
			d.names[fqName.FindStringSubmatch(desc.String())[1]] = true
		}
	}
}

// Dashboard and alerts speak of metrics that exist, and every alert says what to do.
func TestDeploymentFiles(t *testing.T) {
	t.Parallel()
	registry := &described{names: map[string]bool{}}
	metrics.New(registry)
	if len(registry.names) < 20 {
		t.Fatalf("only %d metrics", len(registry.names))
	}
	dashboard, err := os.ReadFile(filepath.Join("..", "..", "deploy", "grafana", "crosswalk.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(dashboard) {
		t.Error("the dashboard is no JSON")
	}
	rules, err := os.ReadFile(filepath.Join("..", "..", "deploy", "prometheus", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"dashboard": dashboard, "alerts": rules} {
		used := regexp.MustCompile(`crosswalk_[a-z_]+`).FindAllString(string(content), -1)
		if len(used) < 5 {
			t.Errorf("the %s speaks of %d metrics", name, len(used))
		}
		for _, metric := range used {
			base := metric
			for _, suffix := range []string{"_bucket", "_count", "_sum"} {
				base = strings.TrimSuffix(base, suffix)
			}
			if !registry.names[metric] && !registry.names[base] {
				t.Errorf("the %s speaks of %s, which does not exist", name, metric)
			}
		}
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations struct{ Summary, Description string }
			}
		}
	}
	if err := yaml.Unmarshal(rules, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || r.Expr == "" || r.Annotations.Summary == "" || r.Annotations.Description == "" {
				t.Errorf("alert %+v", r)
			}
		}
	}
}
