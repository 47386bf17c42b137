//! Where the fuel of one call goes: by function, and as stacks for a flame graph.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use crate::bench;
use crate::meter::Meter;

/// Samples of a call: enough to see a hundredth of it.
const SAMPLES: u64 = 4_000;

/// The functions of a call.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Fuel of the whole call.
    pub fuel: u64,
    /// Fuel by function: its own, and with what it calls.
    pub functions: BTreeMap<String, (u64, u64)>,
    /// Fuel by stack, outermost function first, separated by `;`: what flame graph tools read.
    pub stacks: BTreeMap<String, u64>,
}

/// Profiles `validate` on a payload of the benchmark. The wasm should have names, or functions have none.
pub fn profile(wasm: &Path, payload: &Path) -> Result<Profile> {
    let meter = Meter::load(wasm)?;
    let payload = std::fs::read(payload)?;
    let secrets = bench::secrets_of(&payload)?;
    let fuel = meter.call("validate", &payload, &secrets)?.fuel;
    let step = (fuel / SAMPLES).max(1);
    let mut profile = Profile { fuel, functions: BTreeMap::new(), stacks: BTreeMap::new() };
    for stack in meter.stacks("validate", &payload, &secrets, step)? {
        let mut seen = HashSet::new();
        for (depth, function) in stack.iter().enumerate() {
            let (own, total) = profile.functions.entry(function.clone()).or_default();
            *own += if depth == 0 { step } else { 0 };
            *total += if seen.insert(function) { step } else { 0 };
        }
        let outermost_first: Vec<&str> = stack.iter().rev().map(String::as_str).collect();
        *profile.stacks.entry(outermost_first.join(";")).or_default() += step;
    }
    Ok(profile)
}

impl Profile {
    /// The functions that take most, as a table: own fuel, fuel with what they call, name.
    pub fn table(&self, rows: usize) -> String {
        let mut functions: Vec<_> = self.functions.iter().collect();
        functions.sort_by_key(|(name, (own, total))| (std::cmp::Reverse((*own, *total)), name.as_str()));
        let mut table = format!("{:>9} {:>6} {:>9} {:>6}  function\n", "own", "%", "with", "%");
        for (name, (own, total)) in functions.into_iter().take(rows) {
            let [own_share, share] = [own, total].map(|fuel| *fuel as f64 * 100.0 / self.fuel as f64);
            let _ = writeln!(table, "{own:>9} {own_share:>5.1}% {total:>9} {share:>5.1}%  {name}");
        }
        table
    }

    /// The stacks, one a line with its fuel.
    pub fn folded(&self) -> String {
        self.stacks.iter().map(|(stack, fuel)| format!("{stack} {fuel}\n")).collect()
    }
}
