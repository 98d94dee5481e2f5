package skill_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

func TestDocuments(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	task := skill.Task{ID: "task_28KMdr68N8kG9EzLwjsN9aoz", CreatedAt: time.Date(2022, 8, 7, 15, 1, 29, 196_999_999, berlin)}
	ended := time.Date(2022, 8, 7, 14, 1, 30, 0, time.UTC)
	result := skill.NewResultDocument(task, 3, "")
	result.Add("skill-1", skill.Outcome{Kind: skill.Written, SkillID: "28KMdr68N8kG9EzLwjsN9aoz"})
	result.Add("\"\\\n\u2028é", skill.Outcome{Kind: skill.Rejected, Code: skill.CodeRemoteInput, Message: "Name \"x\" taken\xff"})
	result.Add("skill-3", skill.Outcome{Kind: skill.Unchanged, SkillID: "28KMdr68N8kG9EzLwjsN9aox"})
	for name, c := range map[string]struct{ got, want string }{
		"pending": {
			string(skill.PendingDocument(task)),
			`{"status":"success","data":{"task_id":"task_28KMdr68N8kG9EzLwjsN9aoz","created_at":"2022-08-07T14:01:29.196Z","status":"PENDING","completed_at":null}}`,
		},
		"failed": {
			string(skill.FailedDocument(task, ended, skill.CodeTaskTimedOut, "too late", "")),
			`{"status":"success","data":{"task_id":"task_28KMdr68N8kG9EzLwjsN9aoz","created_at":"2022-08-07T14:01:29.196Z","status":"FAILED",` +
				`"error":{"code":"PLATFORM.TASK_TIMED_OUT","title":"Task timed out","message":"too late","log_url":null},"completed_at":"2022-08-07T14:01:30.000Z"}}`,
		},
		"completed": {
			string(result.Bytes(ended)),
			`{"status":"success","data":{"task_id":"task_28KMdr68N8kG9EzLwjsN9aoz","created_at":"2022-08-07T14:01:29.196Z","status":"COMPLETED","data":[` +
				`{"origin_id":"skill-1","status":"SUCCEEDED","data":{"id":"28KMdr68N8kG9EzLwjsN9aoz"}},` +
				"{\"origin_id\":\"\\\"\\\\\\n\u2028é\",\"status\":\"FAILED\",\"error\":{\"code\":\"REMOTE.INPUT_INVALID\",\"title\":\"The tool refused the item\",\"message\":\"Name \\\"x\\\" taken\ufffd\",\"log_url\":null}}," +
				`{"origin_id":"skill-3","status":"SUCCEEDED","data":{"id":"28KMdr68N8kG9EzLwjsN9aox"}}],"completed_at":"2022-08-07T14:01:30.000Z"}}`,
		},
		"error without a code": {
			string(skill.AppendError(nil, "", "m", "https://example.com/logs/1")),
			`{"code":null,"title":null,"message":"m","log_url":"https://example.com/logs/1"}`,
		},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if !json.Valid([]byte(c.got)) {
			t.Errorf("%s is not JSON: %s", name, c.got)
		}
	}
}

// Items that one exchange refused share its page; the next exchange has another.
func TestPagesOfTheLog(t *testing.T) {
	doc := skill.NewResultDocument(skill.Task{}, 5, "https://example.com/logs/")
	refused := skill.Outcome{Kind: skill.Rejected, Code: skill.CodeRemoteInput, Message: "no", Interaction: "A"}
	for _, interaction := range []string{"A", "A", "B", ""} {
		refused.Interaction = interaction
		doc.Add("x", refused)
	}
	doc.Add("x", skill.Outcome{Kind: skill.Written, SkillID: "id"})
	var answer struct {
		Data struct {
			Data []struct {
				Error struct {
					LogURL *string `json:"log_url"`
				} `json:"error"`
			} `json:"data"`
		} `json:"data"`
	}
	if err := json.Unmarshal(doc.Bytes(time.Time{}), &answer); err != nil {
		t.Fatal(err)
	}
	a, b := "https://example.com/logs/A", "https://example.com/logs/B"
	for i, want := range []*string{&a, &a, &b, nil, nil} {
		if diff := cmp.Diff(want, answer.Data.Data[i].Error.LogURL); diff != "" {
			t.Errorf("entry %d (-want +got)\n%s", i, diff)
		}
	}
	if got := skill.LogPages("").URL("A"); got != "" {
		t.Errorf("without pages: %s", got)
	}
}

func TestResultWithoutItems(t *testing.T) {
	got := skill.NewResultDocument(skill.Task{}, 0, "https://x/logs/").Bytes(time.Time{})
	if !json.Valid(got) {
		t.Errorf("not JSON: %s", got)
	}
}
