//! Stops what burns too much CPU time in a Lua state.
//!
//! A thread looks now and then at what runs. Once that has used up its time, the thread marks it and signals the thread that
//! it runs on; the signal's handler arms an instruction hook of the interpreter, which raises an error at each instruction
//! from then on: neither `pcall` nor coroutines keep running. Nothing is paid for this while nothing takes long but a few
//! stores for each call. LuaJIT is built with `LUAJIT_ENABLE_CHECKHOOK`, without which compiled loops look at no hook.
//!
//! Time that is spent inside a function in C cannot be stopped; it is logged.
#![expect(
    unsafe_code,
    reason = "signals, the interpreter's hook and threads' clocks have no safe interface; the reasons are beside each use"
)]

use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use mlua::{Lua, Result, ffi};
use signal_hook::consts::SIGVTALRM;
use tracing::{error, warn};

/// How often running hooks are looked at: a part of the shortest limit, within these.
const TICK_MIN: Duration = Duration::from_millis(2);
const TICK_MAX: Duration = Duration::from_millis(250);
const TICKS_PER_LIMIT: u32 = 8;

/// The name of our own chunks, which no script's author knows.
const OUR_CHUNK: &[u8] = b"mysql-proxy";

thread_local! {
    /// What runs on this thread; read by the signal handler, so without initialisation and without drop.
    static LUA: Cell<*mut ffi::lua_State> = const { Cell::new(ptr::null_mut()) };
    static SLOT: Cell<*const Slot> = const { Cell::new(ptr::null()) };
    static THREAD_ID: Cell<i32> = const { Cell::new(0) };
    /// Where the script was when it was stopped.
    static POSITION: RefCell<Option<String>> = const { RefCell::new(None) };
}

static SLOTS: Mutex<Vec<Weak<Slot>>> = Mutex::new(Vec::new());
static START: Once = Once::new();

/// One state's.
pub(crate) struct Watchdog {
    lua: LuaState,
    /// `None`: nothing is ever stopped.
    slot: Option<Arc<Slot>>,
}

struct LuaState(*mut ffi::lua_State);

// SAFETY: the pointer is only handed to the interpreter's functions on the thread on which the state runs at that time; the
// state behind it lives as long as the `Watchdog`, which is a part of its owner.
unsafe impl Send for LuaState {}

/// What the watching thread and the running one share.
struct Slot {
    limit: Duration,
    /// Counts starts and ends: odd while something runs.
    generation: AtomicU64,
    /// The generation that is to be stopped.
    condemned: AtomicU64,
    /// On which thread it runs.
    thread_id: AtomicI32,
    /// What it is, for the log.
    what: Mutex<&'static str>,
    /// The watching thread's notes.
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    generation: u64,
    /// CPU time of its thread when it was seen first.
    since: Duration,
    warn_at: Duration,
}

/// What was running has been stopped.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// `[string "/path/script.lua"]:12`; `None` where it was over before it was caught.
    pub(crate) position: Option<String>,
}

impl Watchdog {
    /// Watches what runs in `lua` from now on. `None`: it may run for ever.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn new(lua: &Lua, limit: Option<Duration>) -> Result<Self> {
        let mut state = ptr::null_mut();
        // SAFETY: the stack is left as it was found.
        unsafe { lua.exec_raw::<()>((), |raw| state = raw)? };
        Ok(Self {
            lua: LuaState(state),
            slot: limit.map(slot),
        })
    }

    /// For what begins to run from now on.
    pub(crate) fn set_limit(&mut self, limit: Option<Duration>) {
        self.slot = limit.map(slot);
    }

    /// `what` begins to run on this thread.
    pub(crate) fn begin(&self, what: &'static str) {
        let Some(slot) = &self.slot else {
            return;
        };
        *slot.what.lock().unwrap_or_else(PoisonError::into_inner) = what;
        slot.thread_id.store(thread_id(), Ordering::Relaxed);
        LUA.set(self.lua.0);
        SLOT.set(Arc::as_ptr(slot));
        slot.generation.fetch_add(1, Ordering::SeqCst);
    }

    /// It has ended. Tells whether it had to be stopped, or would have been in the next moment.
    pub(crate) fn end(&self) -> Option<Stopped> {
        let slot = self.slot.as_ref()?;
        let generation = slot.generation.fetch_add(1, Ordering::SeqCst);
        SLOT.set(ptr::null());
        LUA.set(ptr::null_mut());
        if slot.condemned.load(Ordering::SeqCst) != generation {
            return None;
        }
        // SAFETY: nothing runs in the state, which is ours to use until the next `begin`.
        unsafe { ffi::lua_sethook(self.lua.0, None, 0, 0) };
        Some(Stopped {
            position: POSITION.take(),
        })
    }
}

/// One that is looked at.
fn slot(limit: Duration) -> Arc<Slot> {
    let slot = Arc::new(Slot::new(limit));
    let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    slots.retain(|slot| slot.strong_count() > 0);
    slots.push(Arc::downgrade(&slot));
    START.call_once(start);
    slot
}

impl Slot {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            generation: AtomicU64::new(0),
            condemned: AtomicU64::new(0),
            thread_id: AtomicI32::new(0),
            what: Mutex::new(""),
            seen: Mutex::default(),
        }
    }

    fn tick(&self) -> Duration {
        (self.limit / TICKS_PER_LIMIT).clamp(TICK_MIN, TICK_MAX)
    }

    /// One look at what runs.
    fn look(&self) {
        let generation = self.generation.load(Ordering::SeqCst);
        if generation.is_multiple_of(2) {
            return;
        }
        let thread_id = self.thread_id.load(Ordering::Relaxed);
        let Some(time) = cpu_time(thread_id) else {
            return;
        };
        // What was read belongs together only if it still runs.
        if self.generation.load(Ordering::SeqCst) != generation {
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.generation != generation {
            *seen = Seen {
                generation,
                since: time,
                warn_at: self.limit * 2,
            };
            return;
        }
        let spent = time.saturating_sub(seen.since);
        if spent < self.limit {
            return;
        }
        self.condemned.store(generation, Ordering::SeqCst);
        signal(thread_id);
        if spent >= seen.warn_at {
            seen.warn_at = spent * 2;
            let what = *self.what.lock().unwrap_or_else(PoisonError::into_inner);
            warn!(
                "({what}) has used {:.1} s of CPU time and cannot be stopped: it is inside a function in C; \
                 all that needs its Lua state waits for it",
                spent.as_secs_f64()
            );
        }
    }
}

/// Starts the watching thread, for the life of the process.
fn start() {
    // SAFETY: `arm` is safe to run in a signal handler: it reads cells of its thread, loads atomics and calls
    // `lua_sethook`, which LuaJIT documents as callable from signal handlers.
    let registered = unsafe { signal_hook::low_level::register(SIGVTALRM, arm) };
    let started = registered.and_then(|_| {
        thread::Builder::new()
            .name("lua-watchdog".to_owned())
            .spawn(watch)
    });
    if let Err(error) = started {
        error!("cannot watch how long hooks take: {error}; --lua-hook-timeout has no effect");
    }
}

fn watch() {
    loop {
        let slots: Vec<_> = {
            let slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
            slots.iter().filter_map(Weak::upgrade).collect()
        };
        slots.iter().for_each(|slot| slot.look());
        let tick = slots.iter().map(|slot| slot.tick()).min();
        drop(slots);
        thread::sleep(tick.unwrap_or(TICK_MAX));
    }
}

/// The signal's handler: stops what runs on this thread, if that is what was meant.
fn arm() {
    let (slot, lua) = (SLOT.get(), LUA.get());
    if slot.is_null() || lua.is_null() {
        return;
    }
    // SAFETY: `begin` set both on this thread, and `end` clears them before their owner can go.
    let slot = unsafe { &*slot };
    if slot.condemned.load(Ordering::SeqCst) == slot.generation.load(Ordering::SeqCst) {
        // SAFETY: the state runs on this very thread, below the handler.
        unsafe { ffi::lua_sethook(lua, Some(stop), ffi::LUA_MASKCOUNT, 1) };
    }
}

/// At each instruction, once it is armed. The error's text is that of [`POSITION`], whoever catches it.
unsafe extern "C-unwind" fn stop(lua: *mut ffi::lua_State, _: *mut ffi::lua_Debug) {
    POSITION.with_borrow_mut(|known| {
        if known.is_none() {
            *known = position(lua);
        }
    });
    const TEXT: &[u8] = b"stopped";
    // SAFETY: a hook has LUA_MINSTACK free slots; nothing that needs a drop is alive here.
    unsafe {
        ffi::lua_pushlstring(lua, TEXT.as_ptr().cast(), TEXT.len());
        ffi::lua_error(lua);
    }
}

/// The innermost line of a script.
fn position(lua: *mut ffi::lua_State) -> Option<String> {
    for level in 0.. {
        let mut frame = MaybeUninit::<ffi::lua_Debug>::zeroed();
        // SAFETY: all bytes zero are a `lua_Debug`; the interpreter fills in what is asked for, and the names it gives are
        // strings that end.
        let (source, line) = unsafe {
            if ffi::lua_getstack(lua, level, frame.as_mut_ptr()) == 0 {
                return None;
            }
            ffi::lua_getinfo(lua, c"Sl".as_ptr(), frame.as_mut_ptr());
            let frame = frame.assume_init_ref();
            (CStr::from_ptr(frame.short_src.as_ptr()), frame.currentline)
        };
        if line > 0 && source.to_bytes() != OUR_CHUNK {
            return Some(format!("{}:{line}", source.to_string_lossy()));
        }
    }
    None
}

fn thread_id() -> i32 {
    if THREAD_ID.get() == 0 {
        // SAFETY: it always succeeds.
        THREAD_ID.set(unsafe { libc::gettid() });
    }
    THREAD_ID.get()
}

/// What a thread of this process has used so far; `None` once it has ended.
fn cpu_time(thread_id: i32) -> Option<Duration> {
    /// CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED, as pthread_getcpuclockid(3) makes a clock of a thread id.
    const THREAD_CLOCK: i32 = 4 | 2;
    let clock = (!thread_id << 3) | THREAD_CLOCK;
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the call fills in `time` whenever it returns 0.
    let time = unsafe {
        if libc::clock_gettime(clock, time.as_mut_ptr()) != 0 {
            return None;
        }
        time.assume_init()
    };
    Some(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

fn signal(thread_id: i32) {
    // SAFETY: no memory is passed; a thread that has ended is an error, which is as good.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread_id, SIGVTALRM) };
}
