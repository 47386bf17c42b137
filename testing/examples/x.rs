use flyte_secrets_testing::{engine::Policy, host};
use std::time::Instant;
fn time(p: &Policy, payload: &[u8]) -> f64 {
    let c = host::nothing();
    let mut v: Vec<f64> = (0..3000).map(|_| { let s = Instant::now(); let _ = p.call("validate", payload, &c); s.elapsed().as_secs_f64() * 1e6 }).collect();
    let f = || { let t = std::fs::read_to_string("/proc/self/stat").unwrap(); let r = t.rsplit(") ").next().unwrap().to_owned(); r.split(' ').nth(7).unwrap().parse::<u64>().unwrap() };
    let a = f(); for _ in 0..1000 { let _ = p.call("validate", payload, &c); } let b = f();
    print!("faults/call {:.1}  ", (b - a) as f64 / 1000.0);
    v.sort_by(f64::total_cmp);
    v[v.len() / 4]
}
fn main() {
    let payload = std::fs::read(std::env::args().nth(1).unwrap()).unwrap();
    let wat = |pages: usize, touch: usize, data: usize, imports: &str| {
        let t: String = (0..touch).map(|i| format!("(i32.store8 (i32.const {}) (i32.const 1))", 65536 + i * 4096)).collect();
        let r: String = (0..data).map(|i| format!("(drop (i32.load8_u (i32.const {})))", 65536*2 + i * 4096)).collect();
        let d = if data > 0 { format!("(data (i32.const 131072) \"{}\")", "a".repeat(data * 4096)) } else { String::new() };
        format!(r#"(module
  (import "wapc" "__guest_request" (func $request (param i32 i32)))
  (import "wapc" "__guest_response" (func $response (param i32 i32)))
  {imports}
  (memory (export "memory") {pages})
  (data (i32.const 0) "{{\"accepted\":true}}") {d}
  (func (export "__guest_call") (param i32 i32) (result i32)
    {t} {r}
    (call $request (i32.const 1024) (i32.const 2048))
    (call $response (i32.const 0) (i32.const 17))
    (i32.const 1)))"#)
    };
    let wasi = r#"(import "wasi_snapshot_preview1" "random_get" (func $r (param i32 i32) (result i32)))"#;
    for round in 0..2 {
        for (name, text) in [("floor", wat(64, 0, 0, "")), ("17 pages", wat(17, 0, 0, "")), ("2 pages", wat(3, 0, 0, "")), ("touch 4", wat(17, 4, 0, "")), ("touch 8", wat(17, 8, 0, "")), ("data 4", wat(17, 0, 4, "")), ("data 8", wat(17, 0, 8, "")), ("wasi", wat(17, 0, 0, wasi))] {
            let p = Policy::compile(text.as_bytes()).unwrap();
            println!("{round} {name:10} {:.1}", time(&p, &payload));
        }
        for path in std::env::args().skip(2) {
            let p = Policy::load(std::path::Path::new(&path)).unwrap();
            println!("{round} {path} {:.1}", time(&p, &payload));
        }
    }
}
