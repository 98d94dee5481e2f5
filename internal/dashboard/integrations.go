package dashboard

import (
	"cmp"
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	integrationsTogether = 50
	// testTime is how long a tool may take to say whether it accepts credentials.
	testTime = 20 * time.Second
	// lately is what error rates are taken over.
	lately = 24 * time.Hour
)

// recently is what became of an integration's items lately.
type recently struct {
	Counts      skill.Counts
	Tasks       int
	SucceededAt time.Time
}

// recent sums the activity up by integration.
func (d *Dashboard) recent(ctx context.Context, environmentID string) (map[string]recently, []store.ActivityHour, error) {
	hours, err := d.activity(ctx, environmentID)
	if err != nil {
		return nil, nil, err
	}
	sums := map[string]recently{}
	for _, h := range hours {
		sum := sums[h.IntegrationID]
		sum.Counts = sum.Counts.Plus(h.Counts)
		sum.Tasks += h.Tasks
		if h.SucceededAt.After(sum.SucceededAt) {
			sum.SucceededAt = h.SucceededAt
		}
		sums[h.IntegrationID] = sum
	}
	return sums, hours, nil
}

// seenActivity is the activity of an environment as of a moment ago.
type seenActivity struct {
	at    time.Time
	took  time.Duration
	hours []store.ActivityHour
}

// activityMost is how old it may be at most.
const activityMost = 30 * time.Second

// activity is asked for again after fifty times as long as the answer took: that of a busy day takes a tenth of a second.
func (d *Dashboard) activity(ctx context.Context, environmentID string) ([]store.ActivityHour, error) {
	d.counts.mu.Lock()
	seen, ok := d.counts.activity[environmentID]
	d.counts.mu.Unlock()
	if ok && time.Since(seen.at) < min(countTimes*seen.took, activityMost) {
		return seen.hours, nil
	}
	began := time.Now()
	hours, err := d.Store.Activity(ctx, environmentID, lately)
	if err != nil {
		return nil, err
	}
	d.counts.mu.Lock()
	defer d.counts.mu.Unlock()
	d.counts.activity[environmentID] = seenActivity{time.Now(), time.Since(began), hours}
	return hours, nil
}

type integrationRow struct {
	store.IntegrationState
	State  mark
	Lately recently
	Doing  string
}

func (d *Dashboard) integrationRow(s store.IntegrationState, lately recently) integrationRow {
	return integrationRow{s, integrationState(s.Integration), lately, d.doing(s)}
}

// doing says what an integration is doing now.
func (d *Dashboard) doing(s store.IntegrationState) string {
	switch {
	case s.Deleted():
		return ""
	case s.Pending == 0:
		return "Nothing waits"
	case !s.Enabled, s.InvalidReason != "":
		return plural(s.Waiting, "skill") + " " + waits(s.Waiting)
	case s.Hold > 0:
		return "Waits for the tool until " + clockTime(d.Now().Add(s.Hold), d.Now())
	case s.Leased:
		return "Writing, " + plural(s.Waiting, "skill") + " in line"
	default:
		return plural(s.Waiting, "skill") + " in line"
	}
}

func waits(n int) string {
	if n == 1 {
		return "waits"
	}
	return "wait"
}

// integrationFilter is the query of the list.
type integrationFilter struct{ Q, Sort, After string }

// By is how the list is sorted by a column, and the other way. Without an order, it is sorted by when they were connected.
func (f integrationFilter) By(column string) sorting {
	by := sortedBy(cmp.Or(f.Sort, "connected"), column)
	if by.Next == "connected" {
		by.Next = ""
	}
	return by
}

// integrationOrders are the values of sort.
func integrationOrders() map[string]store.IntegrationOrder {
	return map[string]store.IntegrationOrder{
		"-connected": store.ByConnectionDown, "customer": store.ByCustomer, "-customer": store.ByCustomerDown,
	}
}

func (d *Dashboard) integrations(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	f := integrationFilter{Q: clean(r.FormValue("q")), Sort: r.FormValue("sort"), After: r.FormValue("after")}
	order, ok := integrationOrders()[f.Sort]
	if !ok {
		f.Sort = ""
	}
	states, err := d.Store.IntegrationStates(ctx, store.IntegrationFilter{
		EnvironmentID: env(r).ID, Text: f.Q, Order: order, After: integrationCursorOf(f.After), Limit: integrationsTogether + 1,
	})
	if err != nil {
		return err
	}
	sums, _, err := d.recent(ctx, env(r).ID)
	if err != nil {
		return err
	}
	page := struct {
		Rows   []integrationRow
		Filter integrationFilter
		Next   string
		First  bool
	}{Filter: f, First: f.After == ""}
	for i, s := range states {
		if i == integrationsTogether {
			page.Next = integrationCursor(states[i-1].Cursor())
			break
		}
		page.Rows = append(page.Rows, d.integrationRow(s, sums[s.ID]))
	}
	v := d.view(r, "Integrations")
	v.Nav, v.Data = "integrations", page
	d.show(w, r, http.StatusOK, "integrations", v)
	return nil
}

// integrationCursor writes a place in the list for a query.
func integrationCursor(c store.IntegrationCursor) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.Ref, 36) + ":" + c.Customer))
}

// integrationCursorOf reads it; what is none is the beginning.
func integrationCursorOf(text string) store.IntegrationCursor {
	plain, err := base64.RawURLEncoding.DecodeString(text)
	ref, customer, ok := strings.Cut(string(plain), ":")
	n, bad := strconv.ParseInt(ref, 36, 64)
	if err != nil || !ok || bad != nil || strings.ToValidUTF8(customer, "") != customer || strings.ContainsRune(customer, 0) {
		return store.IntegrationCursor{}
	}
	return store.IntegrationCursor{Ref: n, Customer: customer}
}
