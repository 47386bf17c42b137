# The control plane, the node and the tools of `make e2e`, `make e2e-node` and `make chart-test`, built by Go into the cache.

# Without $(KUBEBUILDER_ASSETS), etcd and kube-apiserver are among these.
E2E_TOOLS := $(CACHE)/e2e-$(firstword $(shell cat e2e/tools/go.mod e2e/tools/go.sum | cksum))
KUBERNETES := $(shell sed -n 's|.*k8s.io/kubernetes \(v[0-9.]*\).*|\1|p' e2e/tools/go.mod)
MAJOR := $(word 1,$(subst ., ,$(KUBERNETES:v%=%)))
MINOR := $(word 2,$(subst ., ,$(KUBERNETES:v%=%)))
# Without these, the API server says that it is none of any version, and helm that it knows Kubernetes 1.20.
STAMP := -X k8s.io/component-base/version.gitVersion=$(KUBERNETES) \
	-X k8s.io/component-base/version.gitMajor=$(MAJOR) -X k8s.io/component-base/version.gitMinor=$(MINOR) \
	-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=$(MAJOR) -X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=$(MINOR)

# A kubelet and a container runtime: by far the longest of all builds.
E2E_NODE_TOOLS := $(CACHE)/e2e-node-$(firstword $(shell cat e2e/tools/node/go.mod e2e/tools/node/go.sum | cksum))
RUN_E2E = $(SHIPPED) E2E_TOOLS=$(E2E_TOOLS) E2E_MOTO=$(MOTO) E2E_BUILD=target/debug E2E_NODE_TOOLS=$(E2E_NODE_TOOLS) E2E_PULL=$(PULL) target/debug/e2e

e2e-build: policy.wasm $(E2E_TOOLS)/complete $(MOTO)/bin/moto_server
	@$(call need,busybox,apt-get install busybox-static)
	cargo build --quiet --bin secret-gateway --bin e2e

$(E2E_TOOLS)/complete:
	@$(call need,go,it builds the control plane and its clients)
	mkdir -p $(E2E_TOOLS)
	cd e2e/tools && go build -trimpath -ldflags '-s -w $(STAMP)' -o $(E2E_TOOLS)/ tool
	mv $(E2E_TOOLS)/server $(E2E_TOOLS)/etcd
	touch $@

$(E2E_NODE_TOOLS)/complete:
	@$(call need,go,it builds the kubelet and containerd)
	mkdir -p $(E2E_NODE_TOOLS)
	cd e2e/tools/node && go build -trimpath -ldflags '-s -w $(STAMP)' -o $(E2E_NODE_TOOLS)/ tool
	touch $@

# A part of those above, by far the smaller one.
$(E2E_TOOLS)/helm-complete:
	@$(call need,go,it builds helm and helm-docs)
	mkdir -p $(E2E_TOOLS)
	cd e2e/tools && go build -trimpath -ldflags '-s -w $(STAMP)' -o $(E2E_TOOLS)/ \
		helm.sh/helm/v3/cmd/helm github.com/norwoodj/helm-docs/cmd/helm-docs
	touch $@
