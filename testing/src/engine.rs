//! The built wasm in Kubewarden's engine.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};
use wapc::WapcHost;
use wasmtime_provider::wasmtime::{Cache, CacheConfig, Config, Engine, Module};
use wasmtime_provider::{EpochDeadlines, WasmtimeEngineProviderBuilder, WasmtimeEngineProviderPre};

use crate::host::Capabilities;
use crate::repository;

/// Interval of the clock that stops a policy.
const TICK: Duration = Duration::from_millis(10);

/// Ticks after which policy-server stops a policy: two seconds.
const DEADLINE: u64 = 200;

/// A policy, compiled once; each call runs in an instance of its own, as in policy-server.
#[derive(Clone)]
pub struct Policy {
    pre: WasmtimeEngineProviderPre,
}

impl Policy {
    /// Compiles a policy, in wasm or its text format.
    pub fn compile(wasm: &[u8]) -> Result<Self> {
        let mut config = cached()?;
        config.epoch_interruption(true);
        let engine = Engine::new(&config).map_err(|error| anyhow!("{error}"))?;
        let module = Module::new(&engine, wasm).map_err(|error| anyhow!("{error}"))?;
        let clock = engine.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(TICK);
                clock.increment_epoch();
            }
        });
        let pre = WasmtimeEngineProviderBuilder::new().engine(engine).module(module).build_pre()?;
        Ok(Self { pre })
    }

    /// Loads the policy under test, see [`built`].
    pub fn built() -> Result<Self> {
        Self::compile(&std::fs::read(built()?)?)
    }

    /// Calls a function of the policy in a new instance.
    pub fn call(&self, function: &str, payload: &[u8], capabilities: &Arc<dyn Capabilities>) -> Result<Vec<u8>> {
        Ok(self.instance(capabilities)?.call(function, payload)?)
    }

    /// Returns a new instance.
    pub fn instance(&self, capabilities: &Arc<dyn Capabilities>) -> Result<WapcHost> {
        let deadlines = EpochDeadlines { wapc_init: DEADLINE, wapc_func: DEADLINE };
        let provider = self.pre.rehydrate(Some(deadlines))?;
        let capabilities = Arc::clone(capabilities);
        let callback = move |_: u64, binding: &str, namespace: &str, operation: &str, payload: &[u8]| match binding {
            "kubewarden" => capabilities.call(namespace, operation, payload).map_err(Into::into),
            other => Err(format!("unknown binding: {other}").into()),
        };
        Ok(WapcHost::new(Box::new(provider), Some(Box::new(callback)))?)
    }

    /// Calls `validate` with an admission request and settings.
    pub fn validate(
        &self,
        request: &Value,
        settings: &Value,
        capabilities: &Arc<dyn Capabilities>,
    ) -> Result<Response> {
        let payload = json!({ "request": request, "settings": settings }).to_string();
        Response::parse(&self.call("validate", payload.as_bytes(), capabilities)?)
    }

    /// Calls `validate` with the creation of a pod.
    pub fn create_pod(&self, pod: &Value, settings: &Value, capabilities: &Arc<dyn Capabilities>) -> Result<Response> {
        self.validate(&creation(pod), settings, capabilities)
    }

    /// Calls `validate_settings`, and returns the warnings for the operator, or the error of invalid settings.
    pub fn validate_settings(
        &self,
        settings: &Value,
        capabilities: &Arc<dyn Capabilities>,
    ) -> Result<Result<String, String>> {
        let answer = self.call("validate_settings", settings.to_string().as_bytes(), capabilities)?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let message = answer["message"].as_str().unwrap_or_default().to_owned();
        Ok(if answer["valid"] == json!(true) { Ok(message) } else { Err(message) })
    }
}

/// Returns the configuration of an engine. Compiled code is cached in `target`, because an unoptimized compiler takes
/// seconds.
pub(crate) fn cached() -> Result<Config> {
    let mut cache = CacheConfig::new();
    cache.with_directory(std::path::absolute(repository::path("target/engine"))?);
    let mut config = Config::new();
    config.cache(Some(Cache::new(cache).map_err(|error| anyhow!("{error:#}"))?));
    Ok(config)
}

/// Path of the policy's wasm in the repository; a target of the Makefile.
const WASM: &str = "target/wasm32-wasip1/release/flyte_secrets_policy.wasm";

/// Returns the path of the policy: the file in the variable `POLICY_WASM`, or built by the Makefile, once in each
/// process.
///
/// # Errors
/// The policy cannot be built.
pub fn built() -> Result<PathBuf> {
    static BUILT: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| match std::env::var_os("POLICY_WASM") {
        Some(path) => Ok(path.into()),
        None => build().map_err(|error| format!("{error:#}")),
    });
    BUILT.clone().map_err(|error| anyhow!(error))
}

fn build() -> Result<PathBuf> {
    let mut make = Command::new("make");
    make.args(["--silent", "--no-print-directory", WASM]).current_dir(repository::path(""));
    // Options and jobs of a make that runs these tests must not be inherited.
    for variable in ["MAKEFLAGS", "MFLAGS", "MAKELEVEL"] {
        make.env_remove(variable);
    }
    let output = make.output().context("make is missing: it builds the policy")?;
    if !output.status.success() {
        bail!("the policy cannot be built: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(repository::path(WASM))
}

/// Returns the admission request that creates a pod.
pub fn creation(pod: &Value) -> Value {
    let kind = json!({ "group": "", "version": "v1", "kind": "Pod" });
    let resource = json!({ "group": "", "version": "v1", "resource": "pods" });
    json!({
        "uid": "b1b7f3b8-2f0b-4a53-9a3f-3b1a6a1b7a77",
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "name": pod["metadata"]["name"],
        "namespace": pod["metadata"]["namespace"],
        "operation": "CREATE",
        "userInfo": { "username": "system:serviceaccount:flyte:flytepropeller" },
        "object": pod,
        "oldObject": null,
        "dryRun": false,
        "options": { "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1" },
    })
}

/// The policy's answer, as the host reads it: `null` equals an absent member.
#[derive(Clone, Debug, PartialEq)]
pub struct Response(pub Value);

impl Response {
    fn parse(answer: &[u8]) -> Result<Self> {
        let mut members: Map<String, Value> = serde_json::from_slice(answer)
            .with_context(|| format!("the answer is not a JSON object: {}", String::from_utf8_lossy(answer)))?;
        members.retain(|_, value| !value.is_null());
        Ok(Self(Value::Object(members)))
    }

    /// Whether the pod is accepted.
    pub fn accepted(&self) -> bool {
        self.0["accepted"] == json!(true)
    }

    /// Returns the mutated pod, if it is changed.
    pub fn mutated(&self) -> Option<&Value> {
        self.0.get("mutated_object")
    }

    /// Returns the message of a rejection.
    pub fn message(&self) -> &str {
        self.0["message"].as_str().unwrap_or_default()
    }

    /// Returns the code of a rejection.
    pub fn code(&self) -> u64 {
        self.0["code"].as_u64().unwrap_or_default()
    }

    /// Returns the warnings.
    pub fn warnings(&self) -> Vec<&str> {
        self.0["warnings"].as_array().map(|list| list.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
    }

    /// Returns the patch that the host creates for a mutated pod.
    pub fn patch(&self, pod: &Value) -> json_patch::Patch {
        self.mutated().map(|mutated| json_patch::diff(pod, mutated)).unwrap_or_default()
    }
}
