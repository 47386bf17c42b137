//! What a call costs: fuel, which is the same on every machine, and the guest's memory.
//!
//! Kubewarden's engine gives no access to a call's fuel, so the few functions of waPC are linked here once more, to the
//! same wasmtime.

use std::sync::Arc;

use anyhow::{Result, anyhow};
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

/// State of one call.
struct State {
    wasi: WasiP1Ctx,
    function: Vec<u8>,
    payload: Vec<u8>,
    answer: Result<Vec<u8>, String>,
    /// Response or error of the last host call.
    host_answer: Vec<u8>,
    capabilities: Arc<dyn Capabilities>,
}

impl Meter {
    /// Compiles the policy under test, see [`engine::built`].
    pub fn built() -> Result<Self> {
        let wasm = std::fs::read(engine::built()?)?;
        let mut config = engine::cached()?;
        config.consume_fuel(true);
        let compile = || -> wasmtime::Result<Self> {
            let engine = Engine::new(&config)?;
            let instance = linker(&engine)?.instantiate_pre(&Module::new(&engine, &wasm)?)?;
            Ok(Self { engine, instance })
        };
        compile().map_err(|error| anyhow!("{error:#}"))
    }

    /// Calls a function in a fresh instance.
    pub fn call(&self, function: &str, payload: &[u8], capabilities: &Arc<dyn Capabilities>) -> Result<Cost> {
        let state = State {
            wasi: WasiCtxBuilder::new().build_p1(),
            function: function.as_bytes().to_vec(),
            payload: payload.to_vec(),
            answer: Err("no answer".to_owned()),
            host_answer: Vec::new(),
            capabilities: Arc::clone(capabilities),
        };
        let mut store = Store::new(&self.engine, state);
        let (fuel, memory) = self.run(&mut store).map_err(|error| anyhow!("{error:#}"))?;
        Ok(Cost { fuel, memory, answer: store.into_data().answer.map_err(|error| anyhow!(error))? })
    }

    /// Runs a call, and returns its fuel and the guest's memory at its end.
    fn run(&self, store: &mut Store<State>) -> wasmtime::Result<(u64, u64)> {
        store.set_fuel(TANK)?;
        let instance = self.instance.instantiate(&mut *store)?;
        for start in ["_start", "_initialize", "wapc_init"] {
            if let Ok(start) = instance.get_typed_func::<(), ()>(&mut *store, start) {
                start.call(&mut *store, ())?;
            }
        }
        let lengths = (store.data().function.len() as i32, store.data().payload.len() as i32);
        instance.get_typed_func::<(i32, i32), i32>(&mut *store, "__guest_call")?.call(&mut *store, lengths)?;
        let memory = instance.get_memory(&mut *store, "memory").map_or(0, |memory| memory.data_size(&*store));
        Ok((TANK - store.get_fuel()?, memory as u64))
    }
}

type Guest<'a> = Caller<'a, State>;

fn memory(guest: &mut Guest) -> wasmtime::Result<Memory> {
    let memory = guest.get_export("memory").and_then(Extern::into_memory);
    memory.ok_or_else(|| wasmtime::Error::msg("the policy exports no memory"))
}

fn read(guest: &mut Guest, at: i32, length: i32) -> wasmtime::Result<Vec<u8>> {
    let mut bytes = vec![0; length as u32 as usize];
    memory(guest)?.read(guest, at as u32 as usize, &mut bytes)?;
    Ok(bytes)
}

fn read_text(guest: &mut Guest, at: i32, length: i32) -> wasmtime::Result<String> {
    Ok(String::from_utf8_lossy(&read(guest, at, length)?).into_owned())
}

fn write(guest: &mut Guest, at: i32, bytes: &[u8]) -> wasmtime::Result<()> {
    Ok(memory(guest)?.write(guest, at as u32 as usize, bytes)?)
}

/// Returns the functions of waPC and WASI.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker_sync(&mut linker, |state: &mut State| &mut state.wasi)?;
    linker.func_wrap("wapc", "__guest_request", |mut guest: Guest, function: i32, payload: i32| {
        let (name, bytes) = (guest.data().function.clone(), guest.data().payload.clone());
        write(&mut guest, function, &name)?;
        write(&mut guest, payload, &bytes)
    })?;
    linker.func_wrap("wapc", "__guest_response", |mut guest: Guest, at: i32, length: i32| {
        guest.data_mut().answer = Ok(read(&mut guest, at, length)?);
        wasmtime::Result::Ok(())
    })?;
    linker.func_wrap("wapc", "__guest_error", |mut guest: Guest, at: i32, length: i32| {
        guest.data_mut().answer = Err(read_text(&mut guest, at, length)?);
        wasmtime::Result::Ok(())
    })?;
    linker.func_wrap("wapc", "__console_log", |_: Guest, _: i32, _: i32| {})?;
    linker.func_wrap(
        "wapc",
        "__host_call",
        |mut guest: Guest,
         _: i32,
         _: i32,
         namespace: i32,
         namespace_length: i32,
         operation: i32,
         operation_length: i32,
         payload: i32,
         payload_length: i32| {
            let namespace = read_text(&mut guest, namespace, namespace_length)?;
            let operation = read_text(&mut guest, operation, operation_length)?;
            let payload = read(&mut guest, payload, payload_length)?;
            let answer = guest.data().capabilities.call(&namespace, &operation, &payload);
            let done = i32::from(answer.is_ok());
            guest.data_mut().host_answer = answer.unwrap_or_else(String::into_bytes);
            wasmtime::Result::Ok(done)
        },
    )?;
    for (length, bytes) in [("__host_response_len", "__host_response"), ("__host_error_len", "__host_error")] {
        linker.func_wrap("wapc", length, |guest: Guest| guest.data().host_answer.len() as i32)?;
        linker.func_wrap("wapc", bytes, |mut guest: Guest, at: i32| {
            let answer = guest.data().host_answer.clone();
            write(&mut guest, at, &answer)
        })?;
    }
    Ok(linker)
}
