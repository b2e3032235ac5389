//! The helper of `relay`: forwards TCP connections on 127.0.0.1 with delay, jitter and rate, where there is no privilege.
//!
//! One thread, one epoll. Bytes that were read wait in a queue until they are due, then go out in order; the end of a
//! stream, a reset and a refused connection wait in the same queue. What a connection holds is bounded, and a slow reader
//! slows down its sender. Connecting succeeds at once, because the kernel's answer cannot be held back; instead the client's
//! data is accepted only a round trip later, so that an answer comes as late as over a real link. Not covered: losses, and
//! anything but TCP over IPv4 loopback.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::control::Control;
use super::holder::{Clock, READY, announce, prepare};
use super::shape_text::decode;
use plan::links::Shape;

/// The hidden argument with which the runner starts itself as this helper.
pub const ARGUMENT: &str = "__link-relay";
/// The name, in the announcement, of the port through which measurements pass: the first two bytes of a connection contain
/// the port to which the rest is forwarded.
pub const MEASURE: &str = "measure";

/// How much all connections together may hold, and each direction of one at least and at most.
const HELD_BY_ALL: usize = 512 << 20;
const HELD_AT_LEAST: usize = 64 << 10;
const HELD_AT_MOST: usize = 8 << 20;
/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// With a rate, this much is read ahead of what has left.
const AHEAD: Duration = Duration::from_millis(20);
/// The number by which epoll names the socket for changes; those of listeners and connections are others.
const CONTROL: u64 = u64::MAX / 2;
/// Events taken at once, and connections waiting to be accepted.
const EVENTS: usize = 256;
const BACKLOG: i32 = 4096;

/// Serves until it is killed. Arguments: the shapes of both directions, then the ports to forward to.
pub fn main(args: &[String]) -> ExitCode {
    prepare();
    match Relay::new(args).and_then(|mut relay| relay.serve()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("link helper: {error}");
            ExitCode::FAILURE
        }
    }
}

const FORWARD: usize = 0;
const BACK: usize = 1;

/// Side 0 is the client, side 1 the server; direction `d` leads from side `d` to the other.
struct Connection {
    sides: [Option<Side>; 2],
    directions: [Direction; 2],
    /// The port to connect to; not known yet on a connection for measurements.
    port: Option<u16>,
    header: Vec<u8>,
    connected: bool,
    /// When to connect to the server.
    connect_at: Instant,
}

struct Side {
    stream: TcpStream,
    /// The events that epoll was asked for; each event uses the request up.
    armed: epoll::EventFlags,
}

#[derive(Default)]
struct Direction {
    line: VecDeque<(Instant, Item)>,
    held: usize,
    last_due: Option<Instant>,
    /// Nothing is read before this time, as connecting takes its time.
    open_at: Option<Instant>,
    /// The source has no more data.
    ended: bool,
    /// The sink accepts nothing for now.
    blocked: bool,
    /// Waits for its turn, because of the rate.
    stalled: bool,
    /// Everything was delivered, including the end.
    done: bool,
    timer: Option<Instant>,
}

enum Item {
    Data(Vec<u8>, usize),
    End,
    Reset,
}

/// What all connections share per direction.
struct Lane {
    shape: Shape,
    clock: Clock,
    /// When all that was read will have left, at the rate.
    free_at: Instant,
    stalled: VecDeque<u64>,
}

impl Lane {
    /// Whether nothing passes: it is held back, since a connection loses nothing.
    fn is_cut(&self) -> bool {
        self.shape.loss >= 1.0
    }
}

struct Relay {
    epoll: OwnedFd,
    listeners: Vec<(TcpListener, Option<u16>)>,
    accepting: bool,
    connections: HashMap<u64, Connection>,
    next_id: u64,
    lanes: [Lane; 2],
    timers: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    buffer: Vec<u8>,
    round_trip: Duration,
    /// Where changes of the shapes arrive.
    control: Option<Control>,
}

impl Relay {
    fn new(args: &[String]) -> io::Result<Self> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("cannot read `{what}`"));
        let (control, args) = Control::take(args)?;
        let [forward, back, ports @ ..] = args else { return Err(wrong(&args.join(" "))) };
        let lane = |text: &String| {
            let (shape, seed) = decode(text).ok_or_else(|| wrong(text))?;
            Ok::<_, io::Error>(Lane { shape, clock: Clock::new(&shape, seed), free_at: Instant::now(), stalled: VecDeque::new() })
        };
        let lanes = [lane(forward)?, lane(back)?];
        raise_limit();
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut listeners = Vec::new();
        let mut words = READY.to_owned();
        let wanted = std::iter::once(None).chain(ports.iter().map(Some));
        for wanted in wanted {
            let target = wanted.map(|text| text.parse::<u16>().map_err(|_| wrong(text))).transpose()?;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            rustix::net::listen(&listener, BACKLOG)?;
            let name = wanted.map_or(MEASURE, String::as_str);
            words += &format!(" {name}={}", listener.local_addr()?.port());
            let data = epoll::EventData::new_u64(u64::MAX - listeners.len() as u64);
            epoll::add(&epoll, &listener, data, epoll::EventFlags::IN)?;
            listeners.push((listener, target));
        }
        if let Some(control) = &control {
            epoll::add(&epoll, control, epoll::EventData::new_u64(CONTROL), epoll::EventFlags::IN)?;
        }
        let round_trip = lanes[FORWARD].shape.delay + lanes[BACK].shape.delay;
        announce(&words);
        Ok(Self {
            epoll,
            listeners,
            accepting: true,
            connections: HashMap::new(),
            next_id: 0,
            lanes,
            timers: BinaryHeap::new(),
            buffer: vec![0; CHUNK],
            round_trip,
            control,
        })
    }

    /// Takes new shapes. What was held back because nothing passed goes on.
    fn change(&mut self) {
        let Some(shapes) = self.control.as_ref().and_then(Control::receive) else { return };
        for (lane, shape) in self.lanes.iter_mut().zip(shapes) {
            lane.shape = shape;
            lane.clock.change(&shape);
            // Bytes that were read ahead at a lower rate do not keep others waiting for longer than they would now.
            lane.free_at = lane.free_at.min(Instant::now() + AHEAD);
        }
        self.round_trip = self.lanes[FORWARD].shape.delay + self.lanes[BACK].shape.delay;
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        ids.into_iter().for_each(|id| self.advance(id));
    }

    fn serve(&mut self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let now = Instant::now();
            let timeout = self.due().map(|due| due.saturating_duration_since(now));
            let timeout = timeout.and_then(|t| t.try_into().ok());
            // epoll itself counts milliseconds; waiting for its descriptor can be timed exactly.
            match poll(&mut [PollFd::new(&self.epoll, PollFlags::IN)], timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            self.pass_timers();
            events.clear();
            let now_only = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&now_only)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                let data = event.data.u64();
                if data == CONTROL {
                    self.change();
                    continue;
                }
                match usize::try_from(u64::MAX - data) {
                    Ok(listener) if listener < self.listeners.len() => self.accept(listener),
                    _ => self.event(data >> 1, (data & 1) as usize, event.flags),
                }
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let lanes =
            self.lanes.iter().filter(|l| !l.stalled.is_empty()).map(|l| l.free_at.checked_sub(AHEAD).unwrap_or(l.free_at));
        lanes.chain(self.timers.peek().map(|t| t.0.0)).min()
    }

    fn pass_timers(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, id, direction))) = self.timers.peek().copied()
            && due <= now
        {
            self.timers.pop();
            if let Some(connection) = self.connections.get_mut(&id) {
                if connection.directions[direction].timer == Some(due) {
                    connection.directions[direction].timer = None;
                }
                self.advance(id);
            }
        }
        // The connection that has waited longest is next, and queues up again afterwards.
        for direction in [FORWARD, BACK] {
            if self.lanes[direction].free_at <= now + AHEAD
                && let Some(id) = self.lanes[direction].stalled.pop_front()
                && let Some(connection) = self.connections.get_mut(&id)
            {
                connection.directions[direction].stalled = false;
                self.read(id, direction);
                self.advance(id);
            }
        }
    }

    fn accept(&mut self, listener: usize) {
        for _ in 0..EVENTS {
            let (listener, port) = &self.listeners[listener];
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                    return self.set_accepting(false);
                }
                // This connection is gone already.
                Err(_) => continue,
            };
            if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_err() {
                continue;
            }
            let id = self.next_id;
            self.next_id += 1;
            let data = epoll::EventData::new_u64(id << 1);
            let flags = epoll::EventFlags::ONESHOT;
            if epoll::add(&self.epoll, &stream, data, flags).is_err() {
                continue;
            }
            let mut connection = Connection {
                sides: [Some(Side { stream, armed: epoll::EventFlags::empty() }), None],
                directions: Default::default(),
                port: *port,
                header: Vec::new(),
                connected: false,
                connect_at: Instant::now(),
            };
            if port.is_some() {
                connection.begin(Instant::now(), &self.lanes, self.round_trip);
            }
            self.connections.insert(id, connection);
            self.advance(id);
        }
    }

    fn set_accepting(&mut self, accepting: bool) {
        self.accepting = accepting;
        let flags = if accepting { epoll::EventFlags::IN } else { epoll::EventFlags::empty() };
        for (at, (listener, _)) in self.listeners.iter().enumerate() {
            let _ = epoll::modify(&self.epoll, listener, epoll::EventData::new_u64(u64::MAX - at as u64), flags);
        }
    }

    fn event(&mut self, id: u64, side: usize, flags: epoll::EventFlags) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(this) = &mut connection.sides[side] else { return };
        this.armed = epoll::EventFlags::empty();
        if side == 1 && !connection.connected {
            match this.stream.take_error() {
                Ok(None) => connection.connected = true,
                _ => self.refused(id),
            }
            return self.advance(id);
        }
        connection.directions[1 - side].blocked = false;
        if flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR) {
            self.read(id, side);
        }
        self.advance(id);
    }

    /// Takes one chunk from the source of a direction, if it may.
    fn read(&mut self, id: u64, direction: usize) {
        let now = Instant::now();
        let most = held_at_most(self.connections.len());
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(source) = &mut connection.sides[direction] else { return };
        if connection.port.is_none() {
            let mut byte = [0; 2];
            let missing = 2 - connection.header.len();
            match source.stream.read(&mut byte[..missing]) {
                Ok(n) if n > 0 => connection.header.extend(&byte[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return self.remove(id),
            }
            if let [high, low] = connection.header[..] {
                connection.port = Some(u16::from_be_bytes([high, low]));
                connection.begin(now, &self.lanes, self.round_trip);
            }
            return;
        }
        let this = &mut connection.directions[direction];
        if !this.wants(now, most) || this.stalled {
            return;
        }
        let lane = &mut self.lanes[direction];
        if lane.shape.rate_bits_per_s.is_some() && lane.free_at > now + AHEAD {
            this.stalled = true;
            lane.stalled.push_back(id);
            return;
        }
        let chunk = lane.shape.rate_bits_per_s.map_or(CHUNK, |rate| ((rate / 8.0 * 0.01) as usize).clamp(1460, CHUNK));
        let item = match source.stream.read(&mut self.buffer[..chunk]) {
            Ok(0) => Item::End,
            Ok(n) => Item::Data(self.buffer[..n].to_vec(), 0),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return,
            Err(_) => Item::Reset,
        };
        let bytes = if let Item::Data(data, _) = &item { data.len() } else { 0 };
        lane.free_at = lane.free_at.max(now);
        if let Some(rate) = lane.shape.rate_bits_per_s {
            lane.free_at += Duration::from_secs_f64(bytes as f64 * 8.0 / rate);
        }
        this.push(lane, item);
        this.held += bytes;
    }

    /// The server does not accept the connection: the client learns this when a real answer would have come.
    fn refused(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.sides[1] = None;
        connection.directions[FORWARD].ended = true;
        let lane = &mut self.lanes[BACK];
        lane.free_at = lane.free_at.max(Instant::now());
        connection.directions[BACK].push(lane, Item::Reset);
    }

    /// Delivers what is due in both directions, then tells epoll and the timers what to wait for.
    fn advance(&mut self, id: u64) {
        let now = Instant::now();
        self.connect(id, now);
        for direction in [FORWARD, BACK] {
            if !self.deliver(id, direction, now) {
                return self.remove(id);
            }
        }
        let most = held_at_most(self.connections.len());
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.directions.iter().all(|d| d.done) {
            return self.remove(id);
        }
        let mut wanted = [epoll::EventFlags::empty(); 2];
        for direction in [FORWARD, BACK] {
            let this = &mut connection.directions[direction];
            if connection.port.is_none() {
                wanted[0] = epoll::EventFlags::IN;
                break;
            }
            let mut next = None;
            if direction == FORWARD && connection.sides[1].is_none() && !connection.connected {
                next = (connection.connect_at > now).then_some(connection.connect_at);
            }
            if this.wants(now, most) && !this.stalled {
                wanted[direction] |= epoll::EventFlags::IN;
            } else if let Some(open_at) = this.open_at.filter(|at| *at > now) {
                next = Some(next.map_or(open_at, |n| n.min(open_at)));
            }
            match this.line.front() {
                Some(_) if this.blocked => wanted[1 - direction] |= epoll::EventFlags::OUT,
                Some(_) if self.lanes[direction].is_cut() => {}
                Some((due, _)) if direction == BACK || connection.connected => next = Some(next.map_or(*due, |n| n.min(*due))),
                _ => {}
            }
            if let Some(next) = next
                && this.timer.is_none_or(|at| at > next)
            {
                this.timer = Some(next);
                self.timers.push(Reverse((next, id, direction)));
            }
        }
        if connection.sides[1].is_some() && !connection.connected {
            wanted[1] = epoll::EventFlags::OUT;
        }
        for (number, wanted) in wanted.into_iter().enumerate() {
            if let Some(side) = &mut connection.sides[number]
                && !wanted.is_empty()
                && side.armed != wanted
            {
                side.armed = wanted;
                let data = epoll::EventData::new_u64(id << 1 | number as u64);
                let _ = epoll::modify(&self.epoll, &side.stream, data, wanted | epoll::EventFlags::ONESHOT);
            }
        }
    }

    /// Connects to the server once the client's request would have arrived.
    fn connect(&mut self, id: u64, now: Instant) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(port) = connection.port else { return };
        let refused = connection.directions[FORWARD].ended;
        let cut = self.lanes[FORWARD].is_cut();
        if connection.connected || connection.sides[1].is_some() || refused || cut || connection.connect_at > now {
            return;
        }
        let Ok((stream, connected)) = connect_to(port) else { return self.refused(id) };
        let data = epoll::EventData::new_u64(id << 1 | 1);
        if epoll::add(&self.epoll, &stream, data, epoll::EventFlags::ONESHOT).is_err() {
            return self.refused(id);
        }
        connection.connected = connected;
        connection.sides[1] = Some(Side { stream, armed: epoll::EventFlags::empty() });
    }

    /// Writes what is due; `false` when the connection is over at once.
    fn deliver(&mut self, id: u64, direction: usize, now: Instant) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return true };
        let this = &mut connection.directions[direction];
        if direction == FORWARD && !connection.connected || self.lanes[direction].is_cut() {
            return true;
        }
        while !this.blocked
            && let Some((due, item)) = this.line.front_mut()
            && *due <= now
        {
            let Some(sink) = &mut connection.sides[1 - direction] else { return false };
            match item {
                Item::Data(data, sent) => match sink.stream.write(&data[*sent..]) {
                    Ok(n) => {
                        *sent += n;
                        this.held -= n;
                        if *sent < data.len() {
                            continue;
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        this.blocked = true;
                        return true;
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => {
                        // The sink has closed: the sender learns this after the way back.
                        *this = Direction { ended: true, done: true, timer: this.timer, ..Direction::default() };
                        let other = 1 - direction;
                        let lane = &mut self.lanes[other];
                        lane.free_at = lane.free_at.max(now);
                        let back = &mut connection.directions[other];
                        if back.done {
                            return false;
                        }
                        back.push(lane, Item::Reset);
                        return true;
                    }
                },
                Item::End => {
                    let _ = sink.stream.shutdown(Shutdown::Write);
                    this.done = true;
                }
                Item::Reset => {
                    for side in connection.sides.iter().flatten() {
                        // Closing now sends a reset.
                        let _ = sockopt::set_socket_linger(&side.stream, Some(Duration::ZERO));
                    }
                    return false;
                }
            }
            this.line.pop_front();
        }
        true
    }

    fn remove(&mut self, id: u64) {
        self.connections.remove(&id);
        if !self.accepting {
            self.set_accepting(true);
        }
    }
}

impl Connection {
    /// The client has connected: a real server would notice that after the way there, and both would send data still later.
    fn begin(&mut self, now: Instant, lanes: &[Lane; 2], round_trip: Duration) {
        self.connect_at = now + lanes[FORWARD].shape.delay;
        self.directions[FORWARD].open_at = Some(now + round_trip);
        self.directions[BACK].open_at = Some(now + round_trip + lanes[FORWARD].shape.delay);
    }
}

impl Direction {
    /// Whether more may be read from the source.
    fn wants(&self, now: Instant, most: usize) -> bool {
        !self.ended && self.held < most && self.open_at.is_none_or(|at| at <= now)
    }

    /// Adds what was read last to the queue.
    fn push(&mut self, lane: &mut Lane, item: Item) {
        if self.ended {
            return;
        }
        let due = lane.clock.due_after(lane.free_at, self.last_due);
        self.last_due = Some(due);
        self.ended = !matches!(item, Item::Data(..));
        self.line.push_back((due, item));
    }
}

/// How much each direction may hold with this many connections.
fn held_at_most(connections: usize) -> usize {
    (HELD_BY_ALL / (2 * connections.max(1))).clamp(HELD_AT_LEAST, HELD_AT_MOST)
}

/// Starts connecting; returns whether that has succeeded already.
fn connect_to(port: u16) -> io::Result<(TcpStream, bool)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    let connected = match rustix::net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)) {
        Ok(()) => true,
        Err(rustix::io::Errno::INPROGRESS) => false,
        Err(error) => return Err(error.into()),
    };
    sockopt::set_tcp_nodelay(socket.as_fd(), true)?;
    Ok((TcpStream::from(socket), connected))
}

/// Two files for each connection: as many as are allowed.
fn raise_limit() {
    let mut limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current = limit.maximum;
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_share_what_may_be_held() {
        assert_eq!(held_at_most(0), HELD_AT_MOST);
        assert_eq!(held_at_most(512), 512 << 10);
        assert_eq!(held_at_most(9000), HELD_AT_LEAST);
    }

    #[test]
    fn a_line_keeps_its_order_and_ends_once() {
        let shape = Shape { delay: Duration::from_millis(5), jitter: Duration::from_millis(5), ..Shape::default() };
        let mut lane = Lane { shape, clock: Clock::new(&shape, 1), free_at: Instant::now(), stalled: VecDeque::new() };
        let mut direction = Direction::default();
        (0..100).for_each(|_| direction.push(&mut lane, Item::Data(vec![0], 0)));
        direction.push(&mut lane, Item::End);
        direction.push(&mut lane, Item::Reset);
        assert_eq!(direction.line.len(), 101);
        assert!(direction.line.iter().map(|(due, _)| *due).is_sorted());
        assert!(!direction.wants(Instant::now(), 1));
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused() {
        for args in [&[][..], &["1:2:0:0:1"], &["0:0:0:0:1", "x"], &["0:0:0:0:1", "0:0:0:0:1", "http"]] {
            let args: Vec<String> = args.iter().map(|a| (*a).to_owned()).collect();
            assert!(Relay::new(&args).is_err(), "{args:?}");
        }
    }
}
