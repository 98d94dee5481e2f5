# `make` alone lists what there is to make.

GOLANGCI_LINT_VERSION = v2.15.0
SQLC_VERSION          = v1.31.1

GO            = go
TOOLS         = $(CURDIR)/.tools
GOLANGCI_LINT = $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)/golangci-lint
SQLC          = $(TOOLS)/sqlc-$(SQLC_VERSION)/sqlc

# The race detector watches our code and the libraries'. SQLite itself is C turned into Go, and under the detector thirty
# times slower: its code and its C library are left out, so that whole histories can be run.
RACE = -race $(foreach p,sqlite/lib libc memory,-gcflags=modernc.org/$(p)=-race=false)

# The packages with the longest tests begin first: none of them is left to run alone at the end. The tests of e2e hold promises
# by the clock, with real processes: they have the machine to themselves, when the others are done. Collecting garbage less often
# saves the others a fifth of their time; the processes of e2e, which would take that over, also promise bounds of memory.
LONGEST = ./internal/engine ./internal/dashboard ./internal/store/postgres
GOTEST  = CGO_ENABLED=1 $(GO) test $(RACE) -shuffle=on -timeout=30m

# How long, how often: make soak KILLS=50, make fuzz FUZZTIME=10s, make bench BENCH='-only polls'.
KILLS     = 500
PAUSES    = 20
OUTAGES   = 20
HISTORIES = 80
TIMES     = 20
FUZZTIME  = 3m
BENCH     =

FUZZ = connector/moodle:FuzzAnswers connector/odoo:FuzzExternalID connector/odoo:FuzzJudge connector/rest:FuzzRetryAfter \
       connector/learning360:FuzzAnswers connector/workday:FuzzAnswers internal/api:FuzzCursor internal/api:FuzzDecodeBulk internal/api:FuzzObject internal/clientaddr:FuzzClient internal/redact:FuzzText \
       internal/store:FuzzConnectSettings internal/skill:FuzzDecodeItems internal/skill:FuzzDecodeOutcomes internal/skillfile:FuzzRead internal/store:FuzzUnpackExchange internal/store:FuzzWords internal/store:FuzzUnpackTexts

.DEFAULT_GOAL = help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## build Crosswalk and show it at work: 12,944 real skills into a sandbox
	@bin/crosswalk demo

.PHONY: build
build: ## build bin/crosswalk
	@CGO_ENABLED=0 $(GO) build -trimpath -o bin/crosswalk ./cmd/crosswalk

.PHONY: test
test: needs ## run all tests, with the race detector and in random order; installs what they need
	@all=$$($(GO) list ./...) || exit; failed=; \
	echo "test: all but e2e"; GOGC=400 $(GOTEST) $(LONGEST) $$(echo "$$all" | grep -v '/e2e$$') || failed=1; \
	echo "test: e2e"; $(GOTEST) ./e2e || failed=1; \
	test -z "$$failed"

.PHONY: needs
needs:
	@scripts/test-needs

.PHONY: check
check: $(GOLANGCI_LINT) $(SQLC) ## check format, code, generated files and dependencies
	@echo "check: format";          $(GOLANGCI_LINT) fmt --diff
	@echo "check: vet";             $(GO) vet ./...
	@echo "check: lint";            $(GOLANGCI_LINT) run
	@echo "check: generated files"; $(SQLC) diff && $(GO) test -count=1 -run='^TestConformance$$/^the_page_is_there|^TestTableOfTools$$' ./connector/... ./internal/server
	@echo "check: modules";         $(GO) mod tidy -diff && $(GO) mod verify
	@echo "check: imports";         $(GO) test -run=TestImports -count=1 .

.PHONY: generate
generate: $(SQLC) ## write the generated files anew
	$(SQLC) generate
	CROSSWALK_UPDATE=1 $(GO) test -count=1 -run='^TestConformance$$/^the_page_is_there|^TestTableOfTools$$' ./connector/... ./internal/server

.PHONY: format
format: $(GOLANGCI_LINT) ## format the code
	$(GOLANGCI_LINT) fmt

.PHONY: bench
bench: ## measure every figure of docs/performance.md beside its yardstick (more than half an hour)
	$(GO) run ./bench $(BENCH)

.PHONY: soak
soak: needs ## kill real servers 500 times, and run long random histories (some hours)
	CGO_ENABLED=1 $(GO) test $(RACE) -count=$(HISTORIES) -timeout=0 -run='Histor' ./internal/engine
	CGO_ENABLED=1 $(GO) test $(RACE) -count=1 -timeout=0 -run=TestStoreHistories ./internal/store/sqlite -rapid.checks=20000
	CGO_ENABLED=1 $(GO) test $(RACE) -count=1 -timeout=0 -run=TestStoreHistories ./internal/store/postgres -rapid.checks=2000
	$(GO) test -count=1 -timeout=0 -run='TestSIGKILL|TestPausedAtAnyMoment' ./e2e -kills=$(KILLS) -pauses=$(PAUSES)
	$(GO) test -count=1 -timeout=0 -run=TestFair ./e2e -full
	$(GO) test -count=1 -timeout=0 -run='TestPostgreSQLRestarts|TestTheNetwork' ./e2e -outages=$(OUTAGES)
	$(GO) test -count=$(TIMES) -timeout=0 -run='TestSIGTERM|TestTheAnswerToCOMMITIsLost|TestImagesOfSQLite|TestCrowd|TestNuisances|TheDiskOf' ./e2e

.PHONY: fuzz
fuzz: ## fuzz every parser of what comes from outside, three minutes each
	@set -e; for target in $(FUZZ); do \
		echo "fuzz: $$target for $(FUZZTIME)"; \
		$(GO) test -run='^$$' -fuzz="^$${target#*:}\$$" -fuzztime=$(FUZZTIME) ./$${target%:*}; \
	done

.PHONY: screenshots
screenshots: needs ## draw every page anew in docs/screenshots, and hold them against axe-core
	rm -f docs/screenshots/*.png
	CROSSWALK_SCREENSHOTS=$(CURDIR)/docs/screenshots $(GO) test -count=1 -run='^TestEveryPage$$' ./e2e

.PHONY: upgrade-fixture
upgrade-fixture: ## make data for the upgrade test with the program of an earlier COMMIT, under a NAME
	scripts/upgrade-fixture $(COMMIT) $(NAME) $(DATABASE)

.PHONY: clean
clean: ## remove what make has made
	rm -rf bin .tools

$(GOLANGCI_LINT):
	@echo "build golangci-lint $(GOLANGCI_LINT_VERSION) (once)"
	@GOBIN=$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)

$(SQLC):
	@echo "build sqlc $(SQLC_VERSION) (once)"
	@GOBIN=$(@D) CGO_ENABLED=1 $(GO) install github.com/sqlc-dev/sqlc/cmd/sqlc@$(SQLC_VERSION)
