//! Hostile guests: each costs itself, and nobody else.

use std::sync::Arc;

use wasmtime::component::Component;

use super::*;

/// A component that does one bad thing per export.
const HOSTILE: &str = r#"
    (component
      (core module $m
        (memory (export "memory") 1)
        (func (export "spin") (loop (br 0)))
        (func (export "grow") (result i32)
          (memory.grow (i32.const 60000)))
        (func (export "trap") unreachable)
        (func (export "recurse") (call 3))
        (func (export "well") (result i32) (i32.const 7)))
      (core instance $i (instantiate $m))
      (func (export "spin") (canon lift (core func $i "spin")))
      (func (export "grow") (result s32) (canon lift (core func $i "grow")))
      (func (export "trap") (canon lift (core func $i "trap")))
      (func (export "recurse") (canon lift (core func $i "recurse")))
      (func (export "well") (result s32) (canon lift (core func $i "well"))))
"#;

/// A component that wants more than the contract offers.
const GREEDY: &str = r#"
    (component
      (import "wasi:filesystem/preopens@0.2.0" (instance
        (export "get-directories" (func)))))
"#;

struct Guest {
    store: Store<Tenant>,
    instance: wasmtime::component::Instance,
}

impl Guest {
    fn start(sandbox: &Sandbox, stop: &Arc<StopSignal>) -> Guest {
        let component = component(sandbox, HOSTILE);
        let identity = Identity { connector: "hostile".to_string(), task: 0, generation: 1 };
        let tenant =
            Tenant::new(identity, Arc::default(), Arc::clone(stop), Arc::<Mutex<_>>::default());
        let mut store = sandbox.store(tenant);
        let linker = sandbox.linker().expect("a linker is made");
        let instance = linker.instantiate(&mut store, &component).expect("it starts");
        Guest { store, instance }
    }

    /// Calls an export with this much time; gives the number that it returns, if any.
    fn call(&mut self, export: &str, time: Duration) -> Result<Option<i32>, String> {
        let function = self.instance.get_func(&mut self.store, export).expect("it is exported");
        self.store.data_mut().begin_call(time);
        self.store.set_epoch_deadline(1);
        let returns = usize::from(matches!(export, "grow" | "well"));
        let mut results = vec![wasmtime::component::Val::S32(0); returns];
        function.call(&mut self.store, &[], &mut results).map_err(|error| {
            let trap = error.root_cause().to_string();
            self.store.data().explain_trap().unwrap_or(trap)
        })?;
        Ok(results.first().map(|value| match value {
            wasmtime::component::Val::S32(number) => *number,
            other => panic!("not a number: {other:?}"),
        }))
    }
}

fn component(sandbox: &Sandbox, text: &str) -> Component {
    let bytes = wat::parse_str(text).expect("the text is a component");
    Component::new(sandbox.engine(), bytes).expect("the component compiles")
}

#[test]
fn a_hostile_guest_is_ended_and_its_neighbour_is_not() {
    let sandbox = Sandbox::new().expect("the sandbox is made");
    let stop = Arc::default();
    let mut neighbour = Guest::start(&sandbox, &stop);
    let table = [
        ("spin", "computed for longer than a call may"),
        ("trap", "unreachable"),
        ("recurse", "call stack exhausted"),
    ];
    for (export, expected) in table {
        let mut guest = Guest::start(&sandbox, &stop);
        let reason = guest.call(export, Duration::from_millis(50)).expect_err("it ends badly");
        assert!(reason.contains(expected), "{export}: {reason}");
        assert!(guest.call("well", Duration::from_secs(1)).is_err(), "{export}: it is dead");
        assert_eq!(neighbour.call("well", Duration::from_secs(1)), Ok(Some(7)), "{export}");
    }
}

#[test]
fn a_guest_cannot_have_more_memory_than_its_limit() {
    let sandbox = Sandbox::new().expect("the sandbox is made");
    let mut guest = Guest::start(&sandbox, &Arc::default());
    assert_eq!(guest.call("grow", Duration::from_secs(1)), Ok(Some(-1)));
    assert_eq!(guest.call("well", Duration::from_secs(1)), Ok(Some(7)), "it lives on");
}

#[test]
fn an_abandoned_guest_is_interrupted_wherever_it_is() {
    let sandbox = Sandbox::new().expect("the sandbox is made");
    let stop = Arc::<StopSignal>::default();
    let mut guest = Guest::start(&sandbox, &stop);
    let abandoning = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || stop.abandon()
    });
    let reason = guest.call("spin", Duration::from_secs(3600)).expect_err("it is interrupted");
    assert!(reason.contains("did not stop in time"), "{reason}");
    abandoning.join().expect("the signal was given");
}

#[test]
fn a_component_that_wants_more_than_the_contract_does_not_start() {
    let sandbox = Sandbox::new().expect("the sandbox is made");
    let greedy = component(&sandbox, GREEDY);
    let mut store = sandbox.store(Tenant::describing("greedy"));
    let linker = sandbox.linker().expect("a linker is made");
    let error = linker.instantiate(&mut store, &greedy).expect_err("it is refused");
    assert!(format!("{error:#}").contains("wasi:filesystem/preopens"), "{error:#}");
}

#[test]
fn grants_hold_against_dots_links_and_neighbours() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let root = directory.path().canonicalize().expect("it is there");
    let inside = root.join("inside");
    std::fs::create_dir_all(inside.join("deeper")).expect("a directory is made");
    std::fs::create_dir_all(root.join("inside-not")).expect("a directory is made");
    std::fs::write(root.join("secret"), "x").expect("a file is written");
    std::os::unix::fs::symlink(root.join("secret"), inside.join("link")).expect("a link is made");
    std::os::unix::fs::symlink(root.join("nowhere"), inside.join("dangling"))
        .expect("a link is made");
    let grants = files::Grants::new(&[inside]);
    let table = [
        ("inside/new-file", true),
        ("inside/deeper/new/file", true),
        ("inside/deeper/../file", true),
        ("inside/../secret", false),
        ("inside/new/../../secret", false),
        ("inside/link", false),
        ("inside/dangling", false),
        ("inside-not/file", false),
        ("secret", false),
        ("missing", false),
    ];
    for (path, granted) in table {
        let path = root.join(path).display().to_string();
        assert_eq!(grants.resolve(&path).is_ok(), granted, "{path}");
    }
    assert!(grants.resolve("inside/new-file").is_err(), "a path must be absolute");
}
