# Signet. `make help` lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.SUFFIXES:

export GOTOOLCHAIN := auto

include test/tools/versions

# Where the tools are: one folder for all clones of this repository.
TOOLS := $(or $(SIGNET_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/signet)/tools
GOLANGCI_LINT := $(TOOLS)/golangci-lint-$(GOLANGCI_LINT_VERSION)/golangci-lint
export SIGNET_GOLANGCI_LINT := $(GOLANGCI_LINT)
export CONTROLLER_GEN := $(TOOLS)/controller-gen-$(CONTROLLER_GEN_VERSION)/controller-gen
export KUBEBUILDER_ASSETS := $(TOOLS)/kubernetes-$(KUBERNETES_VERSION)
export SIGNET_HELM := $(TOOLS)/helm-$(HELM_VERSION)/helm
# What a test cluster is made of.
CLUSTER_TOOLS := packages etcd kubernetes kubernetes-node containerd cni coredns
CLUSTER := go run ./test/cluster/cmd --name '$(NAME)'

# An Envoy of one's own is used as it is; otherwise the pinned one is installed.
ifeq ($(SIGNET_ENVOY),)
  export SIGNET_ENVOY := $(TOOLS)/envoy-$(ENVOY_VERSION)/envoy
  ENVOY_TOOL := envoy
endif

VERSION ?= $(or $(shell git describe --tags --always --dirty 2>/dev/null),unknown)
BUILD_FLAGS := -trimpath -ldflags '-s -w -X main.version=$(VERSION)'

# Parameters of the targets; `make help` shows them.
PACKAGES ?= ./...
RUN ?=
BENCH ?= .
FUZZTIME ?= 5m
MINUTES ?= 5
SEED ?=
RESTARTS ?= 20
ONCE ?=
API ?=
SCENARIO ?=
HOSTS ?=
CHANGES ?=
RUNS ?=
JSON ?=
OBJECTS ?=
SECRETS ?=
NAME ?= signet
PLATFORMS ?=
ENVOYS ?=

##@ Use

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z-]+:.*## / { printf "  %-22s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build bin/signet (VERSION=...).
	CGO_ENABLED=0 go build $(BUILD_FLAGS) -o bin/signet ./cmd/signet

.PHONY: image
image: tool-envoy ## Signet's image, Envoy included, as an OCI archive in bin (VERSION=... PLATFORMS=linux/amd64,linux/arm64 ENVOYS=linux/arm64=path,...).
	go run ./image/cmd --version '$(VERSION)' --platforms '$(PLATFORMS)' --envoy '$(or $(ENVOYS),$(SIGNET_ENVOY))'

.PHONY: run
run: tool-envoy ## Serve examples/upstream-tls through a real Envoy (API=gateway: by the Gateway API; ONCE=1: first answers only).
	go build -o bin/signet ./cmd/signet
	go run ./examples/upstream-tls $(if $(API),--api '$(API)') $(if $(ONCE),--once)

##@ Change

.PHONY: generate
generate: tool-controller-gen ## Write the generated files anew (CRDs, deep copies).
	operator/api/generate.sh

.PHONY: test
test: lint unit ## Everything that a change must pass: lint, then all tests.

.PHONY: lint
lint: tool-golangci-lint tool-controller-gen ## Lint, vet, and check that generated files are current.
	@echo '== lint: golangci-lint'
	$(GOLANGCI_LINT) run $(PACKAGES)
	@echo '== lint: go vet'
	go vet $(PACKAGES)
	@echo '== lint: generated files'
	test/tools/drift

.PHONY: fix
fix: tool-golangci-lint ## Repair what the linters can repair, gofmt included.
	$(GOLANGCI_LINT) run --fix $(PACKAGES)

.PHONY: unit
unit: tool-envoy tool-golangci-lint tool-kubernetes tool-helm ## All tests with the race detector (PACKAGES=./translator/... RUN=TestName).
	@echo '== test: unit tests, golden cases, suites with a real Envoy'
	go test -race -shuffle=on -timeout 20m $(if $(RUN),-run '$(RUN)') $(if $(RUN)$(filter-out ./...,$(PACKAGES)),$(PACKAGES),$$(go list ./... | grep -v -e /test/upstreamtls$$ -e /test/cluster/smoke$$ -e /test/e2e$$))
	$(if $(RUN)$(filter-out ./...,$(PACKAGES)),,@echo '== test: the rules of upstream TLS, S1 to S16, by name')
	$(if $(RUN)$(filter-out ./...,$(PACKAGES)),,go test -race -shuffle=on -timeout 20m -v ./test/upstreamtls)

##@ Test clusters: a real Kubernetes of one node (as root; NAME=signet)

.PHONY: cluster-up
cluster-up: tool-cluster ## Start one; its last line says how to reach it.
	@$(CLUSTER) up

.PHONY: cluster-down
cluster-down: ## End it and remove all of it.
	@$(CLUSTER) down

.PHONY: cluster-status
cluster-status: ## Say what it does.
	@$(CLUSTER) status

.PHONY: cluster-images
cluster-images: tool-envoy tool-cluster ## The images of the test bed as OCI archives in bin/images.
	@$(CLUSTER) images

.PHONY: test-cluster
test-cluster: tool-cluster ## Start and end clusters of its own, and send traffic through them.
	go test -race -shuffle=on -timeout 20m -v ./test/cluster/smoke

.PHONY: e2e
e2e: tool-cluster tool-helm ## Signet installed by its chart in a cluster of its own (RUN='the seed' for some specs).
	SIGNET_ENVOY='$(SIGNET_ENVOY)' go test -count 1 -timeout 60m -v ./test/e2e -ginkgo.focus '$(RUN)'

# The suite's own flags follow CONFORMANCE, as --run-test=HTTPRouteWeight.
PROFILES := GATEWAY-HTTP,GATEWAY-GRPC,GATEWAY-TLS,GATEWAY-TCP,GATEWAY-UDP
CONFORMANCE ?= --conformance-profiles=$(PROFILES) --report-output=$(CURDIR)/docs/conformance/v1.7.0.yaml --version=$(VERSION)
CLUSTER_NAME ?=

.PHONY: conformance
conformance: tool-cluster ## The conformance suite of the Gateway API on a cluster of its own, with a report in docs/conformance (CLUSTER_NAME=x for one that runs, CONFORMANCE=flags).
	mkdir -p docs/conformance
	cd test/conformance && go test -count 1 -timeout 120m -v . -args $(if $(CLUSTER_NAME),--cluster='$(CLUSTER_NAME)') $(CONFORMANCE)

# What shows in a few minutes that all layers work together.
CONFORMANCE_CORE := GatewayModifyListeners|GatewayInfrastructureMetadata|HTTPRouteSimpleSameNamespace|HTTPRouteHTTPSListener|HTTPRouteReferenceGrant|BackendTLSPolicy|ListenerSetHTTPRouting

.PHONY: conformance-core
conformance-core: tool-cluster ## A few tests of that suite, in minutes.
	cd test/conformance && go test -count 1 -timeout 30m -v -run 'TestConformance/^($(CONFORMANCE_CORE))$$' . -args $(if $(CLUSTER_NAME),--cluster='$(CLUSTER_NAME)') --conformance-profiles=GATEWAY-HTTP

##@ Measure

.PHONY: bench
bench: tool-envoy ## Benchmarks (PACKAGES=./translator/graph BENCH=pattern).
	go test -run '^$$' -bench '$(BENCH)' -benchmem -timeout 60m $(PACKAGES)

.PHONY: bench-traffic
bench-traffic: tool-envoy build ## Changes under traffic, with a real Envoy (SCENARIO=D1,D3 HOSTS=1000 CHANGES=100 RUNS=3 JSON=file).
	go run ./test/traffic --signet bin/signet --scenario '$(SCENARIO)' --hosts '$(HOSTS)' $(if $(CHANGES),--changes '$(CHANGES)') $(if $(RUNS),--runs '$(RUNS)') --json '$(or $(JSON),bin/traffic.json)'

.PHONY: bench-cluster
bench-cluster: tool-envoy tool-kubernetes build ## Thousands of objects in a real API server (SCENARIO=S1,S2 OBJECTS=5000 SECRETS=20000 CHANGES=100 RUNS=3 JSON=file).
	go run ./test/scale --signet bin/signet --scenario '$(SCENARIO)' $(if $(OBJECTS),--objects '$(OBJECTS)') $(if $(SECRETS),--secrets '$(SECRETS)') $(if $(CHANGES),--changes '$(CHANGES)') $(if $(RUNS),--runs '$(RUNS)') --json '$(or $(JSON),bin/cluster.json)'

.PHONY: fuzz
fuzz: tool-envoy ## Each fuzz target in turn (FUZZTIME=5m PACKAGES=...).
	test/tools/fuzz '$(FUZZTIME)' $(PACKAGES)

.PHONY: soak
soak: tool-envoy ## Random changes and faults under traffic, judged by a model (MINUTES=30 SEED=7).
	go run ./test/soak/run --minutes '$(MINUTES)' $(if $(SEED),--seed '$(SEED)')

.PHONY: restarts
restarts: tool-envoy ## Kill the control plane under traffic (RESTARTS=20).
	go test -count 1 -run TestRestart -v -timeout 20m ./test/controlplane -restarts '$(RESTARTS)'

.PHONY: clean
clean: ## Remove what was built here; the tools stay.
	rm -rf bin

##@ Tools, in $SIGNET_CACHE, else $XDG_CACHE_HOME/signet, else ~/.cache/signet

.PHONY: tools
tools: ## Those of make test and of envtest; the two below have more.
	@test/tools/install envoy controller-gen golangci-lint etcd kubernetes

.PHONY: tool-envoy
tool-envoy: ## Envoy; nothing if SIGNET_ENVOY names one.
	@$(if $(ENVOY_TOOL),test/tools/install envoy,echo 'tools: Envoy is $(SIGNET_ENVOY), as SIGNET_ENVOY says')

.PHONY: tool-controller-gen
tool-controller-gen: ## controller-gen, for make generate and make lint.
	@test/tools/install controller-gen

.PHONY: tool-golangci-lint
tool-golangci-lint: ## golangci-lint.
	@test/tools/install golangci-lint

.PHONY: tool-cluster
tool-cluster: tool-envoy ## All that test clusters are made of, Debian packages included where the user is root.
	@test/tools/install $(CLUSTER_TOOLS)

.PHONY: tool-helm
tool-helm: ## Helm.
	@test/tools/install helm

.PHONY: tool-kubernetes
tool-kubernetes: ## etcd, kube-apiserver and kubectl, for envtest.
	@test/tools/install etcd kubernetes
