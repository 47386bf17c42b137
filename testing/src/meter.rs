//! What a call costs: fuel, which is the same on every machine, and the guest's memory.
//!
//! Kubewarden's engine gives no access to a call's fuel, so the few functions of waPC are linked here once more, to the
//! same wasmtime.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use wasmtime_provider::wasmtime::{self, Caller, Engine, Extern, InstancePre, Linker, Memory, Module, Store};
use wasmtime_provider::wasmtime_wasi::WasiCtxBuilder;
use wasmtime_provider::wasmtime_wasi::p1::{self, WasiP1Ctx};

use crate::engine;
use crate::host::Capabilities;

/// More than any call takes.
const TANK: u64 = 1 << 40;

/// What a call costs, and its answer.
#[derive(Clone, Debug)]
pub struct Cost {
    /// Instructions of the guest, in wasmtime's measure, its start included.
    pub fuel: u64,
    /// The guest's linear memory after the call, in bytes.
    pub memory: u64,
    /// What the policy answered.
    pub answer: Vec<u8>,
}

/// A policy whose calls are measured.
pub struct Meter {
    engine: Engine,
    instance: InstancePre<State>,
}

struct State {
    wasi: WasiP1Ctx,
    function: Vec<u8>,
    payload: Vec<u8>,
    answer: Result<Vec<u8>, String>,
    host_answer: Result<Vec<u8>, String>,
    capabilities: Arc<dyn Capabilities>,
}

impl Meter {
    /// Compiles the policy in a file.
    pub fn load(path: &Path) -> Result<Self> {
        let wasm = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::compile(&wasm)
    }

    /// Compiles a policy, in wasm or its text format.
    pub fn compile(wasm: &[u8]) -> Result<Self> {
        let mut config = engine::cached()?;
        config.consume_fuel(true);
        let engine = Engine::new(&config).map_err(|wrong| anyhow!("{wrong}"))?;
        let module = Module::new(&engine, wasm).map_err(|wrong| anyhow!("{wrong:#}"))?;
        let linker = linker(&engine).map_err(|wrong| anyhow!("{wrong:#}"))?;
        let instance = linker.instantiate_pre(&module).map_err(|wrong| anyhow!("{wrong:#}"))?;
        Ok(Self { engine, instance })
    }

    /// Calls a function in a fresh instance.
    pub fn call(&self, function: &str, payload: &[u8], capabilities: &Arc<dyn Capabilities>) -> Result<Cost> {
        let mut store = self.store(function, payload, capabilities);
        let memory = self.run(&mut store, TANK).map_err(|wrong| anyhow!("{wrong:#}"))?;
        let fuel = TANK - store.get_fuel().map_err(|wrong| anyhow!("{wrong:#}"))?;
        let answer = std::mem::replace(&mut store.data_mut().answer, Ok(Vec::new()));
        Ok(Cost { fuel, memory, answer: answer.map_err(|wrong| anyhow!(wrong))? })
    }

    fn store(&self, function: &str, payload: &[u8], capabilities: &Arc<dyn Capabilities>) -> Store<State> {
        let state = State {
            wasi: WasiCtxBuilder::new().build_p1(),
            function: function.as_bytes().to_vec(),
            payload: payload.to_vec(),
            answer: Err("no answer".to_owned()),
            host_answer: Ok(Vec::new()),
            capabilities: Arc::clone(capabilities),
        };
        Store::new(&self.engine, state)
    }

    /// Runs a call, and tells how much memory the guest has at its end.
    fn run(&self, store: &mut Store<State>, tank: u64) -> wasmtime::Result<u64> {
        store.set_fuel(tank)?;
        let instance = self.instance.instantiate(&mut *store)?;
        for start in ["_start", "_initialize", "wapc_init"] {
            if let Ok(start) = instance.get_typed_func::<(), ()>(&mut *store, start) {
                start.call(&mut *store, ())?;
            }
        }
        let call = instance.get_typed_func::<(i32, i32), i32>(&mut *store, "__guest_call")?;
        let lengths = (store.data().function.len() as i32, store.data().payload.len() as i32);
        call.call(&mut *store, lengths)?;
        Ok(instance.get_memory(&mut *store, "memory").map_or(0, |memory| memory.data_size(&*store) as u64))
    }
}

fn memory(caller: &mut Caller<'_, State>) -> Option<Memory> {
    caller.get_export("memory").and_then(Extern::into_memory)
}

fn read(caller: &mut Caller<'_, State>, at: i32, length: i32) -> Vec<u8> {
    let mut bytes = vec![0; length as u32 as usize];
    if let Some(memory) = memory(caller) {
        // What cannot be read stays zero; the policy's answer then shows it.
        let _ = memory.read(&*caller, at as u32 as usize, &mut bytes);
    }
    bytes
}

fn write(caller: &mut Caller<'_, State>, at: i32, bytes: &[u8]) {
    if let Some(memory) = memory(caller) {
        let _ = memory.write(&mut *caller, at as u32 as usize, bytes);
    }
}

type Guest<'a> = Caller<'a, State>;

fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_sync(&mut linker, |state: &mut State| &mut state.wasi)?;
    linker.func_wrap("wapc", "__guest_request", |mut guest: Guest, function: i32, payload: i32| {
        let (name, bytes) = (guest.data().function.clone(), guest.data().payload.clone());
        write(&mut guest, function, &name);
        write(&mut guest, payload, &bytes);
    })?;
    linker.func_wrap("wapc", "__guest_response", |mut guest: Guest, at: i32, length: i32| {
        guest.data_mut().answer = Ok(read(&mut guest, at, length));
    })?;
    linker.func_wrap("wapc", "__guest_error", |mut guest: Guest, at: i32, length: i32| {
        let text = String::from_utf8_lossy(&read(&mut guest, at, length)).into_owned();
        guest.data_mut().answer = Err(text);
    })?;
    linker.func_wrap("wapc", "__console_log", |_: Guest, _: i32, _: i32| {})?;
    linker.func_wrap("wapc", "__host_call", host_call)?;
    linker.func_wrap("wapc", "__host_response_len", |guest: Guest| answer_of(&guest).map_or(0, <[u8]>::len) as i32)?;
    linker.func_wrap("wapc", "__host_response", |mut guest: Guest, at: i32| {
        let bytes = answer_of(&guest).map(<[u8]>::to_vec).unwrap_or_default();
        write(&mut guest, at, &bytes);
    })?;
    linker.func_wrap("wapc", "__host_error_len", |guest: Guest| error_of(&guest).len() as i32)?;
    linker.func_wrap("wapc", "__host_error", |mut guest: Guest, at: i32| {
        let text = error_of(&guest).to_owned();
        write(&mut guest, at, text.as_bytes());
    })?;
    Ok(linker)
}

fn answer_of<'a>(guest: &'a Guest) -> Option<&'a [u8]> {
    guest.data().host_answer.as_deref().ok()
}

fn error_of<'a>(guest: &'a Guest) -> &'a str {
    guest.data().host_answer.as_deref().err().map_or("", |text| text.as_str())
}

#[allow(clippy::too_many_arguments)] // waPC's signature
fn host_call(
    mut guest: Guest,
    _: i32,
    _: i32,
    namespace: i32,
    namespace_length: i32,
    operation: i32,
    operation_length: i32,
    payload: i32,
    payload_length: i32,
) -> i32 {
    let namespace = String::from_utf8_lossy(&read(&mut guest, namespace, namespace_length)).into_owned();
    let operation = String::from_utf8_lossy(&read(&mut guest, operation, operation_length)).into_owned();
    let payload = read(&mut guest, payload, payload_length);
    let answer = guest.data().capabilities.call(&namespace, &operation, &payload);
    let done = answer.is_ok();
    guest.data_mut().host_answer = answer;
    i32::from(done)
}
