# `make` alone lists the targets. You need only Go, git and make: tools are built into .cache by
# version, and the tests start their own PostgreSQL.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
# Temporal's own tag. It leaves out the gRPC variants of Google's storage client, which saves 14 MB.
SERVER_TAGS := disable_grpc_modules

GOLANGCI_VERSION      := v2.15.0
WORKFLOWCHECK_VERSION := v0.6.0
GOTESTSUM_VERSION     := v1.13.0
OAPI_CODEGEN_VERSION  := v2.8.2
HELM_VERSION          := v4.3.2
PROMTOOL_VERSION      := v0.316.0
ACTIONLINT_VERSION    := v1.7.12
# The newest version that the Go of go.mod builds.
GORELEASER_VERSION    := v2.15.0
TOOLS         := $(CURDIR)/.cache/bin
GOLANGCI      := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)
WORKFLOWCHECK := $(TOOLS)/workflowcheck-$(WORKFLOWCHECK_VERSION)
GOTESTSUM     := $(TOOLS)/gotestsum-$(GOTESTSUM_VERSION)
OAPI_CODEGEN  := $(TOOLS)/oapi-codegen-$(OAPI_CODEGEN_VERSION)
HELM          := $(TOOLS)/helm-$(HELM_VERSION)
PROMTOOL      := $(TOOLS)/promtool-$(PROMTOOL_VERSION)
ACTIONLINT    := $(TOOLS)/actionlint-$(ACTIONLINT_VERSION)
GORELEASER    := $(TOOLS)/goreleaser-$(GORELEASER_VERSION)

# One PostgreSQL for every command that runs through it. It is thrown away, so it need not survive a crash of the machine.
PGTEST := go run ./test/pgtest/cmd/pgtest -fast --
# Further flags for go test, as in `make test TESTFLAGS='-run TestLadder_ -v'`.
TESTFLAGS ?=
# What tests are run with: go test, or what stands in for it in `make ci`.
GOTEST ?= go test

# No C compiler is needed, and one build cache serves builds and tests.
export CGO_ENABLED := 0
# LDFLAGS already has the version, and asking git fails if the checkout belongs to another user.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## build and run everything in one process: posthorn dev
	exec bin/posthorn dev

# Go prints nothing while it compiles. -v names each package. Every hundredth becomes a line of progress; other output is shown.
PROGRESS := awk '/^[^ :]+$$/ { if (++n % 100 == 0) { print "  " n " packages compiled"; fflush() } next } { print; fflush() }'

.PHONY: build
build: ## build bin/posthorn: all commands, with the embedded Temporal (minutes the first time)
	cd devserver && go build -v -tags $(SERVER_TAGS) -ldflags '$(LDFLAGS)' -o ../bin/posthorn ./cmd/posthorn 2>&1 | $(PROGRESS)

.PHONY: build-lean
build-lean: ## build bin/posthorn-lean: the program of the image, without dev
	go build -ldflags '$(LDFLAGS)' -o bin/posthorn-lean ./cmd/posthorn

.PHONY: test
test: ## test everything, on a private PostgreSQL that it starts (and installs, if there is none)
	@$(PGTEST) $(MAKE) --no-print-directory --keep-going -j1 test-lean test-crash test-server test-deploy

# What whole programs, a browser or a benchmark are needed for. PostgreSQL is such a program, and internal/app and internal/cli link
# all of ours.
SLOW_PACKAGES := /test/(bench|chaos|crash|e2e|licences|pgtest|rolling|security)$$|/console$$|/internal/(app|bench|chaos|cli)$$
# The tests that need PostgreSQL. models/modelstest checks their names.
ON_POSTGRES := OnPostgres|Pgbouncer|/^postgres$$|//^postgres$$

# Garbage is collected less often, by Go's linker too, which saves an eighth of the time.
.PHONY: test-fast
test-fast: ## test the main module's packages, queries on SQLite alone; no whole programs, browser or benchmarks
	@GOGC=400 go test -vet=off -timeout 10m -skip '$(ON_POSTGRES)' $(TESTFLAGS) $$(go list ./... | grep -v -E '$(SLOW_PACKAGES)')

.PHONY: test-lean
test-lean:
	$(GOTEST) -timeout 20m $(TESTFLAGS) $$(go list ./... | grep -v '/test/crash$$')

# What was killed must be back within seconds, so `make test` runs nothing beside these.
.PHONY: test-crash
test-crash:
	$(GOTEST) -timeout 20m $(TESTFLAGS) ./test/crash

.PHONY: test-server
test-server:
	cd devserver && $(GOTEST) -timeout 20m -tags $(SERVER_TAGS) $(TESTFLAGS) ./...

.PHONY: test-deploy
test-deploy:
	cd test/deploy && $(GOTEST) ./observe ./values

# What `make ci` tests under the race detector: where goroutines share most.
CI_RACE := ./activities ./internal/delivery ./internal/engine ./internal/fairqueue ./internal/groupcommit ./internal/service ./internal/slots
# How long its tests took.
CI_TIMES := $(CURDIR)/.cache/times

.PHONY: ci
ci: $(GOTESTSUM) ## what every change must pass: test, lint, and race where goroutines share most; names the ten slowest tests
	@rm -rf $(CI_TIMES) && mkdir -p $(CI_TIMES)
	@trap 'echo; echo "The ten slowest tests:"; cat $(CI_TIMES)/* | $(GOTESTSUM) tool slowest --num 10 || true' EXIT; \
	$(MAKE) --no-print-directory --keep-going test lint race RACE='$(CI_RACE)' \
		GOTEST='$(GOTESTSUM) --format standard-quiet --jsonfile-timing-events $(CI_TIMES)/$$@ --'

.PHONY: check-deploy
check-deploy: $(HELM) $(PROMTOOL) ## check the dashboards, alerts, Helm chart and Compose file (builds helm and promtool)
	cd deploy/prometheus && $(PROMTOOL) check rules --lint=all posthorn.rules.yaml && $(PROMTOOL) test rules posthorn.rules.test.yaml
	cd test/deploy && go vet ./... && HELM=$(HELM) go test ./observe ./values ./chart ./compose

.PHONY: check-image
check-image: ## build the image's contents without a container engine and run them as its user (needs root, for chroot)
	cd test/deploy && go test -count 1 ./chroot

.PHONY: check-release
check-release: $(GORELEASER) ## check the configuration of releases and build the lean program as a release does (builds goreleaser)
	$(GORELEASER) check
	$(GORELEASER) build --snapshot --clean --single-target --id lean

.PHONY: chart-schemas
chart-schemas: ## write the schemas of Kubernetes' kinds with which check-deploy checks the chart
	cd test/deploy && go run ./cmd/schemas schemas

# How long each target is fuzzed.
FUZZTIME ?= 1m

.PHONY: fuzz
fuzz: ## fuzz every func Fuzz… of both modules, each for a minute (FUZZTIME=10s); testdata/fuzz keeps the findings
	@failed=; found=$$(grep -rHoE '^func Fuzz\w+' --include='*_test.go' --exclude-dir=.cache . | sed 's/func //' | sort); \
	for target in $$found; do \
		name=$${target#*:}; dir=$$(dirname "$${target%%:*}"); module=.; tags=; \
		case $$dir in ./devserver|./devserver/*) module=devserver; dir=.$${dir#./devserver}; tags='-tags $(SERVER_TAGS)';; esac; \
		echo "== $$name in $$module, $$dir"; \
		(cd $$module && go test $$tags -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$dir) || failed="$$failed $$name"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

# The packages that are tested under the race detector.
RACE ?= ./...

.PHONY: race
race: export CGO_ENABLED := 1
race: ## test the main module under the race detector (needs a C compiler; RACE='./models ./worker')
	@$(PGTEST) $(GOTEST) -race -timeout 30m $(TESTFLAGS) $(RACE)

# Flags for test/bench, as in `make bench BENCHFLAGS='-modes serve -scenarios saturate -scale 0.2 -out -'`.
BENCHFLAGS ?=

.PHONY: bench
bench: build build-lean build-temporal ## measure everything on a private, durable PostgreSQL and write docs/benchmarks.md (two hours)
	go run ./test/pgtest/cmd/pgtest -- go run ./test/bench -out docs/benchmarks.md $(BENCHFLAGS)

# Flags of posthorn chaos, as in `make chaos CHAOSFLAGS='--kinds kill'`. SEED, FAULTS and RESUME are separate flags. OUT is
# a page for the report, docs/reliability.md for the published run.
CHAOSFLAGS ?=
CHAOS := .cache/chaos

.PHONY: chaos
chaos: build-temporal ## break a whole Posthorn in every way and count what is lost (20 minutes; FAULTS=1000 SEED=7 RESUME=1)
	go build -tags faults -ldflags '$(LDFLAGS)' -o $(CHAOS)/bin/posthorn-lean ./cmd/posthorn
	ln -f bin/temporal $(CHAOS)/bin/temporal
	@if [ -z '$(RESUME)' ] && [ -e $(CHAOS)/run.jsonl ]; then mv $(CHAOS)/run.jsonl $(CHAOS)/run-$$(date +%Y%m%d-%H%M%S).jsonl; fi
	$(CHAOS)/bin/posthorn-lean chaos --bin $(CHAOS)/bin --state $(CHAOS)/run.jsonl $(if $(RESUME),--resume) $(if $(SEED),--seed $(SEED)) \
		$(if $(FAULTS),--faults $(FAULTS)) $(if $(OUT),--out $(OUT)) $(CHAOSFLAGS)

.PHONY: build-temporal
build-temporal:
	cd devserver && go build -tags $(SERVER_TAGS) -ldflags '$(LDFLAGS)' -o ../bin/temporal ./cmd/temporal

.PHONY: lint
lint: lint-format lint-vet lint-golangci lint-workflows ## check formatting, go vet, golangci-lint, determinism of workflows

# Two checkers of OpenAPI documents. They need node, so they are not part of lint or test.
REDOCLY_VERSION  := 2.77.0
SPECTRAL_VERSION := 6.16.3
NODE_TOOLS       := $(CURDIR)/.cache/node/redocly-$(REDOCLY_VERSION)-spectral-$(SPECTRAL_VERSION)

.PHONY: lint-extra
lint-extra: $(NODE_TOOLS)/node_modules ## check the OpenAPI document with redocly and spectral (needs node and npm)
	go test ./api -count 1 -run '^TestOpenAPI_DocumentIsWhole$$' -document $(CURDIR)/.cache/openapi.json
	$(NODE_TOOLS)/node_modules/.bin/redocly lint --extends recommended-strict .cache/openapi.json
	$(NODE_TOOLS)/node_modules/.bin/spectral lint --ruleset .spectral.yaml --fail-severity warn .cache/openapi.json

$(NODE_TOOLS)/node_modules:
	npm install --no-audit --no-fund --ignore-scripts --prefix $(NODE_TOOLS) @redocly/cli@$(REDOCLY_VERSION) @stoplight/spectral-cli@$(SPECTRAL_VERSION)

.PHONY: lint-workflow-files
lint-workflow-files: $(ACTIONLINT) ## check .github/workflows (builds actionlint)
	$(ACTIONLINT)

.PHONY: lint-format
lint-format:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted:" $$unformatted >&2; exit 1; fi

.PHONY: lint-vet
lint-vet:
	go vet ./...
	cd devserver && go vet -tags $(SERVER_TAGS) ./...
	cd test/deploy && go vet ./...

.PHONY: lint-golangci
lint-golangci: $(GOLANGCI)
	$(GOLANGCI) run ./...
	cd devserver && $(GOLANGCI) run --build-tags $(SERVER_TAGS) ./...
	cd test/deploy && $(GOLANGCI) run ./...

.PHONY: lint-workflows
lint-workflows: $(WORKFLOWCHECK)
	$(WORKFLOWCHECK) -config .workflowcheck.yml ./workflows/...

$(GOLANGCI):
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(TOOLS)/golangci-lint $@

$(WORKFLOWCHECK):
	GOBIN=$(TOOLS) go install go.temporal.io/sdk/contrib/tools/workflowcheck@$(WORKFLOWCHECK_VERSION)
	mv $(TOOLS)/workflowcheck $@

$(GOTESTSUM):
	GOBIN=$(TOOLS) go install gotest.tools/gotestsum@$(GOTESTSUM_VERSION)
	mv $(TOOLS)/gotestsum $@

.PHONY: client
client: $(OAPI_CODEGEN) ## generate the Go client from the OpenAPI document
	go test ./client/openapi -count 1 -update
	cd client && $(OAPI_CODEGEN) -config oapi-codegen.yaml openapi/openapi.json
	cd client && sha256sum openapi/openapi.json oapi-codegen.yaml client.gen.go >client.sum

$(HELM):
	GOBIN=$(TOOLS) go install helm.sh/helm/v4/cmd/helm@$(HELM_VERSION)
	mv $(TOOLS)/helm $@

$(PROMTOOL):
	GOBIN=$(TOOLS) go install -tags remove_all_sd github.com/prometheus/prometheus/cmd/promtool@$(PROMTOOL_VERSION)
	mv $(TOOLS)/promtool $@

$(ACTIONLINT):
	GOBIN=$(TOOLS) go install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT_VERSION)
	mv $(TOOLS)/actionlint $@

$(GORELEASER):
	GOBIN=$(TOOLS) go install github.com/goreleaser/goreleaser/v2@$(GORELEASER_VERSION)
	mv $(TOOLS)/goreleaser $@

$(OAPI_CODEGEN):
	GOBIN=$(TOOLS) go install github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@$(OAPI_CODEGEN_VERSION)
	mv $(TOOLS)/oapi-codegen $@

.PHONY: histories
histories: ## run the stories for the replay tests, and store Temporal's histories of them
	cd devserver && go run -tags $(SERVER_TAGS) ./cmd/histories ../workflows/testdata

.PHONY: clean
clean: ## remove build outputs; keeps ./data
	rm -rf bin dist .cache
