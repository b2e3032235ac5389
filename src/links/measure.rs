//! What a link is really like, measured through the link itself before each repetition.
//!
//! Round trips are measured by UDP echoes between sockets that were made inside the two namespaces; losses and rates are
//! measured one way. Through a relay everything is TCP. Nothing else may use the link meanwhile: targets are started
//! afterwards.
//!
//! Durations: round trips take max(200 ms, 10 round trips). Losses are measured at 20 000 packets per second, with 500
//! packets where no loss is requested, up to as many as measure the share within the tolerance (20 000 at most, 1 s). A rate
//! takes 0.2 s in each direction, 1 s below 1 Mbit/s, plus what is queued then (one round trip, at least 50 ms). Where
//! packets are missing, they are waited for during two more round trips and 0.2 s. Each part takes at most a third of the
//! budget, plus one round trip.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::sockopt;
use serde::Serialize;

use super::make::Made;
use super::namespace::inside;
use super::{Error, shaping};
use plan::links::{Link, Mechanism, Shape};
use vocabulary::units::exact_duration;

/// Ethernet, IPv4 and UDP.
const HEADERS: usize = 14 + 20 + 8;
/// Bytes of an echo, or of a packet that is counted.
const SMALL: usize = 64;
/// The largest payload of one packet.
const LARGE: usize = 1472;
/// How many packets per second are sent to be counted.
const COUNTED_PER_S: f64 = 20_000.0;
/// Above this rate the sender itself could be the limit, so the rate is not measured.
const FASTEST: f64 = 2e9;

/// What was measured of one link.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// The link's name.
    pub link: String,
    /// The mechanism that made it.
    pub mechanism: Mechanism,
    /// Round trips in ascending order of rank: median, least and greatest.
    pub rtt_median_ns: u64,
    /// The shortest.
    pub rtt_min_ns: u64,
    /// The longest.
    pub rtt_max_ns: u64,
    /// How many round trips were measured.
    pub rtt_count: u64,
    /// From the near to the far side.
    pub forward: OneWay,
    /// From the far to the near side.
    pub back: OneWay,
    /// `net.ipv4.tcp_congestion_control` at the near side.
    pub congestion_control: String,
    /// And at the far side.
    pub far_congestion_control: String,
}

/// What was measured of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct OneWay {
    /// Packets that were sent to be counted; none through a relay.
    pub sent: u64,
    /// Those of them that did not arrive.
    pub lost: u64,
    /// The rate at which packets arrived when more were sent; only where a rate was requested.
    pub rate_bits_per_s: Option<f64>,
}

impl OneWay {
    /// The share of lost packets.
    pub fn loss(&self) -> Option<f64> {
        (self.sent > 0).then(|| self.lost as f64 / self.sent as f64)
    }
}

impl Measured {
    /// In what ways the link differs from the request: empty when it is within its tolerance.
    ///
    /// Where chance decides, four standard errors are allowed in addition: correct links fail once in 16 000 times.
    pub fn against(&self, link: &Link) -> Vec<String> {
        let mut reasons = Vec::new();
        let asked = link.round_trip();
        let median = Duration::from_nanos(self.rtt_median_ns);
        // For the median of n sums of two uniform distributions, approximately: 1.25 σ / √n.
        let sigma = ((link.forward.jitter.as_secs_f64().powi(2) + link.back.jitter.as_secs_f64().powi(2)) / 3.0).sqrt();
        let chance = Duration::from_secs_f64(4.0 * 1.25 * sigma / (self.rtt_count.max(1) as f64).sqrt());
        let allowed = link.tolerance.delay + chance;
        if median.abs_diff(asked) > allowed {
            reasons.push(format!(
                "link `{}` ({}): the median round trip is {}, expected {} ± {}",
                self.link,
                self.mechanism.name(),
                vocabulary::units::human_duration(median.as_nanos() as f64),
                exact_duration(asked),
                vocabulary::units::human_duration(allowed.as_nanos() as f64),
            ));
        }
        for (way, shape, direction) in [(&self.forward, &link.forward, "forward"), (&self.back, &link.back, "back")] {
            let mut say = |text| reasons.push(format!("link `{}` ({}), {direction}: {text}", self.link, self.mechanism.name()));
            if let Some(loss) = way.loss() {
                let chance = 4.0 * (shape.loss * (1.0 - shape.loss) / way.sent as f64).sqrt();
                let allowed = link.tolerance.loss.max(chance);
                if (loss - shape.loss).abs() > allowed {
                    say(format!(
                        "{} of {} packets were lost ({:.2} %), expected {:.2} % ± {:.2} %",
                        way.lost,
                        way.sent,
                        loss * 100.0,
                        shape.loss * 100.0,
                        allowed * 100.0
                    ));
                }
            }
            if let (Some(asked), Some(rate)) = (shape.rate_bits_per_s, way.rate_bits_per_s)
                && (rate - asked).abs() > asked * link.tolerance.rate
            {
                let [rate, asked] = [rate, asked].map(|r| r / 1e6);
                say(format!("the rate is {rate:.3} Mbit/s, expected {asked:.3} ± {:.0} %", link.tolerance.rate * 100.0));
            }
        }
        reasons
    }
}

/// Measures a link whose helpers are ready. Blocks; for how long, and what the budget does, is described above.
///
/// # Errors
/// [`Error::Silent`] when nothing comes back, [`Error::Measure`] when a socket refuses, [`Error::Namespace`].
pub fn measure(made: &Made, link: &Link, budget: Duration) -> Result<Measured, Error> {
    let (rtts, forward, back) = match made.mechanism {
        Mechanism::Relay => through_relay(made, link, budget)?,
        _ => through_network(made, link, budget)?,
    };
    let mut rtts: Vec<u64> = rtts.iter().map(|d| d.as_nanos() as u64).collect();
    rtts.sort_unstable();
    let &[rtt_min_ns, .., rtt_max_ns] = rtts.as_slice() else {
        return Err(Error::Silent { link: link.name.clone(), waited: patience(link) });
    };
    let (near, far) = (made.names.near.as_deref(), made.namespace.as_ref().map(|_| made.names.far.as_str()));
    Ok(Measured {
        link: link.name.clone(),
        mechanism: made.mechanism,
        rtt_median_ns: rtts[rtts.len() / 2],
        rtt_min_ns,
        rtt_max_ns,
        rtt_count: rtts.len() as u64,
        forward,
        back,
        congestion_control: inside(near, congestion_control)?,
        far_congestion_control: inside(far, congestion_control)?,
    })
}

/// `net.ipv4.tcp_congestion_control` of the calling thread's namespace.
fn congestion_control() -> String {
    std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").map_or_else(|_| "?".to_owned(), |t| t.trim().to_owned())
}

/// How long after the last packet another one may still arrive; 200 ms of it are for a machine that is busy otherwise. Only
/// used when packets are missing.
fn patience(link: &Link) -> Duration {
    link.round_trip() + link.forward.jitter + link.back.jitter + shaping::buffer(link) + Duration::from_millis(200)
}

type Found = (Vec<Duration>, OneWay, OneWay);

fn through_network(made: &Made, link: &Link, budget: Duration) -> Result<Found, Error> {
    let failed = |what| move |source| Error::Measure { link: link.name.clone(), what, source };
    let near =
        inside(made.names.near.as_deref(), || UdpSocket::bind((made.near_host, 0)))?.map_err(failed("bind at the near side"))?;
    let far = inside(Some(&made.names.far), || UdpSocket::bind((made.host, 0)))?.map_err(failed("bind at the far side"))?;
    for (one, other) in [(&near, &far), (&far, &near)] {
        other
            .local_addr()
            .and_then(|address| one.connect(address))
            .and_then(|()| one.set_nonblocking(true))
            .map_err(failed("connect"))?;
        let _ = sockopt::set_socket_recv_buffer_size_force(one, 8 << 20);
    }
    let part = budget / 3;
    let rtts = echoes(&near, &far, link, part).map_err(failed("send echoes"))?;
    if rtts.is_empty() {
        return Err(Error::Silent { link: link.name.clone(), waited: part.max(patience(link)) });
    }
    let mut ways = [OneWay::default(); 2];
    let plans = [(&near, &far, &link.forward), (&far, &near, &link.back)];
    let counted = std::thread::scope(|scope| {
        let threads = plans.map(|(from, to, shape)| scope.spawn(move || count(from, to, shape, link, part)));
        threads.map(|thread| thread.join().expect("counting does not panic"))
    });
    for (way, counted) in ways.iter_mut().zip(counted) {
        (way.sent, way.lost) = counted.map_err(failed("send packets to be counted"))?;
    }
    for (way, (from, to, shape)) in ways.iter_mut().zip(plans) {
        if let Some(rate) = shape.rate_bits_per_s.filter(|r| *r <= FASTEST) {
            way.rate_bits_per_s = train(from, to, shape, rate, link, part / 2).map_err(failed("send at a rate"))?;
        }
    }
    let [forward, back] = ways;
    Ok((rtts, forward, back))
}

/// Waits until there is something to read; `false` after the time limit.
fn readable(socket: &impl AsFd, until: Instant) -> bool {
    let timeout = until.saturating_duration_since(Instant::now()).try_into().ok();
    poll(&mut [PollFd::new(socket, PollFlags::IN)], timeout.as_ref()).is_ok_and(|n| n > 0)
}

/// Round trips of echoes, several in flight at a time; those that were lost are left out.
fn echoes(near: &UdpSocket, far: &UdpSocket, link: &Link, part: Duration) -> io::Result<Vec<Duration>> {
    // Jitter keeps the order of packets, so packets close together would all get the longest delay among them.
    let jitter = 2 * link.forward.jitter.max(link.back.jitter);
    let slowest = [&link.forward, &link.back].iter().filter_map(|s| s.rate_bits_per_s).fold(f64::INFINITY, f64::min);
    let by_rate = Duration::from_secs_f64(2.0 * ((SMALL + HEADERS) * 8) as f64 / slowest);
    let interval = Duration::from_millis(2).max(jitter).max(by_rate);
    let length = Duration::from_millis(200).max(10 * link.round_trip()).min(part);
    let amount = (length.as_nanos() / interval.as_nanos()).clamp(20, 100) as u32;
    let interval = interval.max(length / amount).min((part / 20).max(interval));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 2048];
            while !stop.load(Ordering::Relaxed) {
                if readable(far, Instant::now() + Duration::from_millis(20))
                    && let Ok(n) = far.recv(&mut buffer)
                {
                    let _ = far.send(&buffer[..n]);
                }
            }
        });
        let result = ping(near, amount, interval, patience(link));
        stop.store(true, Ordering::Relaxed);
        result
    })
}

fn ping(near: &UdpSocket, amount: u32, interval: Duration, patience: Duration) -> io::Result<Vec<Duration>> {
    let start = Instant::now();
    let mut rtts = Vec::with_capacity(amount as usize);
    let mut buffer = [0; 2048];
    for number in 0..=amount {
        let last = number == amount;
        // The last turn only waits for what is still in flight.
        let until = start + interval * number + if last { patience } else { Duration::ZERO };
        while !(last && rtts.len() == amount as usize) && readable(near, until) {
            let now = Instant::now();
            if let Ok(n) = near.recv(&mut buffer)
                && let Some(sent) = buffer[..n].first_chunk::<8>()
            {
                rtts.push((now - start).saturating_sub(Duration::from_nanos(u64::from_le_bytes(*sent))));
            }
        }
        if !last {
            let mut packet = [0; SMALL];
            packet[..8].copy_from_slice(&(start.elapsed().as_nanos() as u64).to_le_bytes());
            send(near, &packet)?;
        }
    }
    Ok(rtts)
}

/// Sends a packet; one that finds no room in a queue of this host counts as lost on the way.
fn send(socket: &UdpSocket, packet: &[u8]) -> io::Result<()> {
    match socket.send(packet) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS) => Ok(()),
        Err(error) => Err(error),
    }
}

/// How many packets are needed to measure the share of losses within the tolerance, at four standard errors.
fn sample(loss: f64, tolerance: f64) -> f64 {
    (16.0 * loss * (1.0 - loss) / (tolerance * tolerance)).clamp(500.0, 20_000.0)
}

/// Sends packets one way; returns how many, and how many did not arrive.
fn count(from: &UdpSocket, to: &UdpSocket, shape: &Shape, link: &Link, part: Duration) -> io::Result<(u64, u64)> {
    let by_rate = shape.rate_bits_per_s.map_or(f64::INFINITY, |rate| rate / 2.0 / ((SMALL + HEADERS) * 8) as f64);
    let per_s = COUNTED_PER_S.min(by_rate);
    let amount = sample(shape.loss, link.tolerance.loss).min(per_s * part.as_secs_f64()).max(10.0) as u64;
    let arrivals = flood(from, to, SMALL, amount, per_s, patience(link))?;
    Ok((amount, amount.saturating_sub(arrivals.len() as u64)))
}

/// The rate at which packets arrive when a quarter more than that is sent.
fn train(from: &UdpSocket, to: &UdpSocket, shape: &Shape, rate: f64, link: &Link, part: Duration) -> io::Result<Option<f64>> {
    let length = Duration::from_millis(if rate < 1e6 { 1000 } else { 200 }).min(part).as_secs_f64();
    let payload = ((rate * length / 8.0 / 100.0) as usize).saturating_sub(HEADERS).clamp(SMALL, LARGE);
    let bits = ((payload + HEADERS) * 8) as f64;
    let per_s = rate * 1.25 / (1.0 - shape.loss).max(0.01) / bits;
    let arrivals = flood(from, to, payload, (per_s * length).max(20.0) as u64, per_s, patience(link))?;
    // What the token bucket lets through at once does not count for the rate.
    let skip = (shaping::burst(rate) as usize).div_ceil(payload + HEADERS) + 1;
    Ok(match arrivals.get(skip..) {
        Some([first, rest @ .., last]) if last > first => Some((rest.len() + 1) as f64 * bits / (*last - *first).as_secs_f64()),
        _ => None,
    })
}

/// Sends packets evenly, and returns the arrival time of each one that arrived.
fn flood(
    from: &UdpSocket,
    to: &UdpSocket,
    payload: usize,
    amount: u64,
    per_s: f64,
    patience: Duration,
) -> io::Result<Vec<Instant>> {
    let sent_all = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let mut arrivals = Vec::with_capacity(amount as usize);
            let mut buffer = [0; 2048];
            let mut quiet_since = Instant::now();
            while (arrivals.len() as u64) < amount {
                if readable(to, Instant::now() + Duration::from_millis(10)) {
                    while to.recv(&mut buffer).is_ok() {
                        arrivals.push(Instant::now());
                    }
                    quiet_since = Instant::now();
                } else if !sent_all.load(Ordering::Relaxed) {
                    quiet_since = Instant::now();
                } else if quiet_since.elapsed() > patience {
                    break;
                }
            }
            arrivals
        });
        let packet = vec![0; payload];
        // A sender that was delayed does not catch up at once: the kernel's own queues hold 1000 packets.
        let at_once = (per_s / 1000.0).max(64.0) as u64;
        let start = Instant::now();
        let mut result = Ok(());
        let mut sent = 0;
        while sent < amount && result.is_ok() {
            let due = ((start.elapsed().as_secs_f64() * per_s) as u64 + 1).min(amount).min(sent + at_once);
            while sent < due && result.is_ok() {
                result = send(from, &packet);
                sent += 1;
            }
            let next = Duration::from_secs_f64(sent as f64 / per_s);
            std::thread::sleep(next.saturating_sub(start.elapsed()).max(Duration::from_micros(200)));
        }
        sent_all.store(true, Ordering::Relaxed);
        let arrivals = receiver.join().expect("receiving does not panic");
        result.map(|()| arrivals)
    })
}

fn through_relay(made: &Made, link: &Link, budget: Duration) -> Result<Found, Error> {
    let failed = |what| move |source| Error::Measure { link: link.name.clone(), what, source };
    let part = budget / 3;
    let (near, far) = connection(made).map_err(failed("connect through the relay"))?;
    let rtts = turns(near, far, link, part).map_err(failed("echo through the relay"))?;
    let mut ways = [OneWay::default(); 2];
    for (direction, shape) in [&link.forward, &link.back].into_iter().enumerate() {
        if let Some(rate) = shape.rate_bits_per_s.filter(|r| *r <= FASTEST) {
            let (near, far) = connection(made).map_err(failed("connect through the relay"))?;
            let (from, to) = if direction == 0 { (near, far) } else { (far, near) };
            ways[direction].rate_bits_per_s = bulk(from, to, rate, link, part / 2).map_err(failed("send through the relay"))?;
        }
    }
    Ok((rtts, ways[0], ways[1]))
}

/// Both ends of a connection through the relay.
fn connection(made: &Made) -> io::Result<(TcpStream, TcpStream)> {
    let port = made.measure_port.ok_or_else(|| io::Error::other("its port is not known: the relay was not ready yet"))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut near = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    near.set_nodelay(true)?;
    near.write_all(&listener.local_addr()?.port().to_be_bytes())?;
    listener.set_nonblocking(true)?;
    if !readable(&listener, Instant::now() + Duration::from_secs(10)) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let (far, _) = listener.accept()?;
    far.set_nonblocking(false)?;
    far.set_nodelay(true)?;
    for stream in [&near, &far] {
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        stream.set_write_timeout(Some(Duration::from_secs(10)))?;
        // What is still in flight at the end is thrown away.
        sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
    }
    Ok((near, far))
}

/// One byte to the far side and back, again and again.
fn turns(mut near: TcpStream, mut far: TcpStream, link: &Link, part: Duration) -> io::Result<Vec<Duration>> {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut byte = [0];
            while far.read_exact(&mut byte).and_then(|()| far.write_all(&byte)).is_ok() {}
        });
        let mut rtts = Vec::new();
        let mut turn = || {
            let sent = Instant::now();
            near.write_all(&[1])?;
            near.read_exact(&mut [0])?;
            Ok(sent.elapsed())
        };
        let length = Duration::from_millis(200).max(10 * link.round_trip()).min(part);
        // The first round trip waits until the connection would have been made, and does not count.
        let mut result = turn().map(drop);
        let start = Instant::now();
        while result.is_ok() && (rtts.len() < 5 || (rtts.len() < 100 && start.elapsed() < length)) {
            result = turn().map(|rtt| rtts.push(rtt));
        }
        // The other end is still reading.
        let _ = near.shutdown(std::net::Shutdown::Both);
        result.map(|()| rtts)
    })
}

/// Sends as many bytes as pass, one way; returns their rate of arrival after the first tenth.
fn bulk(mut from: TcpStream, mut to: TcpStream, rate: f64, link: &Link, part: Duration) -> io::Result<Option<f64>> {
    let length = Duration::from_millis(if rate < 1e6 { 1000 } else { 200 }).min(part);
    let stop = AtomicBool::new(false);
    from.set_write_timeout(Some(Duration::from_millis(50)))?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let block = vec![0; 64 << 10];
            // A time-out means back-pressure; it is also an occasion to check whether the time is over.
            while !stop.load(Ordering::Relaxed) {
                match from.write(&block) {
                    Err(e) if !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return,
                    _ => {}
                }
            }
        });
        let mut buffer = vec![0; 64 << 10];
        let result = (|| {
            let mut bytes = 0;
            let mut first: Option<Instant> = None;
            // The connection counts as made a round trip later, and the first bytes need their time to arrive.
            let until = Instant::now() + 2 * link.round_trip() + length;
            let mut last = None;
            while Instant::now() < until {
                let n = to.read(&mut buffer)?;
                if n == 0 {
                    break;
                }
                match first {
                    None => first = Some(Instant::now()),
                    Some(_) => (bytes, last) = (bytes + n, Some(Instant::now())),
                }
            }
            Ok(first.zip(last).filter(|(f, l)| l > f).map(|(f, l)| bytes as f64 * 8.0 / (l - f).as_secs_f64()))
        })();
        stop.store(true, Ordering::Relaxed);
        drop(to);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::link;

    const MS: Duration = Duration::from_millis(1);

    fn measured(rtt: Duration, forward: OneWay) -> Measured {
        let rtt = rtt.as_nanos() as u64;
        Measured {
            link: "wan".into(),
            mechanism: Mechanism::Netem,
            rtt_median_ns: rtt,
            rtt_min_ns: rtt,
            rtt_max_ns: rtt,
            rtt_count: 100,
            forward,
            back: OneWay::default(),
            congestion_control: "cubic".into(),
            far_congestion_control: "cubic".into(),
        }
    }

    #[test]
    fn what_is_within_its_tolerance_needs_no_words() {
        let link = link(Shape { delay: 100 * MS, loss: 0.2, rate_bits_per_s: Some(20e6), ..Shape::default() }, Shape::default());
        let way = OneWay { sent: 1000, lost: 230, rate_bits_per_s: Some(19e6) };
        assert_eq!(measured(101 * MS, way).against(&link), Vec::<String>::new());
    }

    #[test]
    fn what_is_not_as_asked_is_told_in_words() {
        let link = link(Shape { delay: 100 * MS, loss: 0.2, rate_bits_per_s: Some(20e6), ..Shape::default() }, Shape::default());
        let way = OneWay { sent: 10_000, lost: 2300, rate_bits_per_s: Some(17e6) };
        assert_eq!(
            measured(103 * MS, way).against(&link),
            [
                "link `wan` (netem): the median round trip is 103 ms, expected 100ms ± 2.00 ms",
                "link `wan` (netem), forward: 2300 of 10000 packets were lost (23.00 %), expected 20.00 % ± 2.00 %",
                "link `wan` (netem), forward: the rate is 17.000 Mbit/s, expected 20.000 ± 10 %",
            ]
        );
    }

    #[test]
    fn jitter_allows_what_chance_explains() {
        let link = link(Shape { delay: 100 * MS, jitter: 50 * MS, ..Shape::default() }, Shape::default());
        assert_eq!(measured(110 * MS, OneWay::default()).against(&link), Vec::<String>::new());
        assert_eq!(measured(120 * MS, OneWay::default()).against(&link).len(), 1);
    }

    #[test]
    fn as_many_packets_as_the_tolerance_needs() {
        assert_eq!(sample(0.0, 0.001), 500.0);
        assert!((sample(0.2, 0.02) - 6400.0).abs() < 1e-6);
        assert_eq!(sample(0.01, 0.001), 20_000.0);
    }
}
