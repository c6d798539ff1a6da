#include "mien/ranks/watch.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mien/core/progress.h"
#include "mien/core/text.h"
#include "mien/version.h"

namespace mien::ranks {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kGoOn = "start the same command again to go on from the last epoch";
/// Common points before a late rank is told from one that still reads its data.
constexpr uint64_t kWarmUp = 16;
constexpr size_t kLongestLine = 8192;

using Addresses = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Addresses addresses_of(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int failed = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failed != 0)
    throw_failed(fmt::format("rank 0's host {} is unknown here: {}", host, ::gai_strerror(failed)),
                 "set MASTER_ADDR to an address that all ranks reach");
  return {found, &::freeaddrinfo};
}

void prepare(int socket) {
  ::fcntl(socket, F_SETFD, FD_CLOEXEC);
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval most{.tv_sec = 5, .tv_usec = 0};
  ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
}

bool send_line(int socket, const std::string& line) {
  const std::string text = line + "\n";
  size_t sent = 0;
  while (sent < text.size()) {
    const ssize_t n = ::send(socket, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

/// One line by `deadline`; empty if there is none.
std::string receive_line(int socket, Clock::time_point deadline) {
  std::string line;
  while (line.size() < kLongestLine * 64) {
    pollfd one{.fd = socket, .events = POLLIN, .revents = 0};
    const auto left = duration_cast<milliseconds>(deadline - Clock::now()).count();
    if (left <= 0 || stop_requested()) return "";
    if (::poll(&one, 1, static_cast<int>(std::min<int64_t>(left, 200))) <= 0) continue;
    char letter = 0;
    const ssize_t n = ::recv(socket, &letter, 1, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return "";
    if (letter == '\n') return line;
    line += letter;
  }
  return "";
}

std::string first_word(std::string& rest) {
  const size_t space = rest.find(' ');
  std::string word = rest.substr(0, space);
  rest = space == std::string::npos ? "" : rest.substr(space + 1);
  return word;
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text.substr(0, kLongestLine / 2);
}

void stop_if_asked() {
  if (stop_requested()) throw Error(ErrorCode::interrupted, "stopped while the ranks came together");
}

}  // namespace

std::string host_name() {
  std::array<char, 256> name{};
  ::gethostname(name.data(), name.size() - 1);
  std::string text = name.data();
  std::replace(text.begin(), text.end(), ' ', '-');
  return text.empty() ? "unnamed" : text;
}

std::string own_address_towards(const std::string& address, uint16_t port) {
  const Addresses found = addresses_of(address, port);
  const int probe = ::socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  std::array<char, NI_MAXHOST> text{};
  sockaddr_storage own{};
  socklen_t length = sizeof own;
  // Nothing is sent: the system only chooses the way.
  const bool is_known =
      ::connect(probe, found->ai_addr, found->ai_addrlen) == 0 &&
      ::getsockname(probe, reinterpret_cast<sockaddr*>(&own), &length) == 0 &&
      ::getnameinfo(reinterpret_cast<sockaddr*>(&own), length, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) ==
          0;
  ::close(probe);
  return is_known ? text.data() : address;
}

Watch::Watch(const Place& place, std::string note, const Patience& patience)
    : rank_(place.rank), size_(place.size), patience_(patience), note_(std::move(note)) {
  try {
    if (rank_ == 0) {
      gather(place);
    } else {
      greet(place);
    }
  } catch (...) {
    for (auto& [rank, peer] : peers_) ::close(peer.socket);
    throw;
  }
  for (auto& [rank, peer] : peers_) peer.heard = Clock::now();
  thread_ = std::jthread([this](const std::stop_token& stop) { watch_all(stop); });
}

Watch::~Watch() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  for (auto& [rank, peer] : peers_) ::close(peer.socket);
}

void Watch::gather(const Place& place) {
  const int listener = ::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  const int off = 0;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_addr = in6addr_any;
  any.sin6_port = htons(place.port);
  const std::unique_ptr<const int, void (*)(const int*)> closes(&listener, [](const int* s) { ::close(*s); });
  if (::bind(listener, reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0 || ::listen(listener, 1024) != 0)
    throw_failed(fmt::format("rank 0 cannot listen at port {}: {}", place.port, std::strerror(errno)),
                 "set MASTER_PORT to a free port for all ranks");
  hosts_.assign(static_cast<size_t>(size_), "");
  hosts_[0] = host_name();
  const auto deadline = Clock::now() + patience_.to_join;
  while (peers_.size() + 1 < static_cast<size_t>(size_)) {
    stop_if_asked();
    if (Clock::now() > deadline) {
      std::string missing;
      for (int rank = 1; rank < size_; ++rank) {
        if (peers_.count(rank) == 0) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", rank);
      }
      throw_failed(fmt::format("rank {} of {} did not come to {}:{} within {} s",
                               missing,
                               size_,
                               place.address,
                               place.port,
                               duration_cast<seconds>(patience_.to_join).count()),
                   "look at what these processes say, and at firewalls between the hosts");
    }
    pollfd one{.fd = listener, .events = POLLIN, .revents = 0};
    if (::poll(&one, 1, 200) <= 0) continue;
    const int socket = ::accept(listener, nullptr, nullptr);
    if (socket < 0) continue;
    prepare(socket);
    std::string hello = receive_line(socket, Clock::now() + seconds(5));
    const bool is_ours = first_word(hello) == "mien";
    const int rank = static_cast<int>(parse_int(first_word(hello)).value_or(-1));
    const std::string size = first_word(hello);
    const std::string version = first_word(hello);
    if (!is_ours || rank < 1 || rank >= size_ || size != std::to_string(size_)) {  // a scanner, or another job
      ::close(socket);
      continue;
    }
    std::string problem;
    if (version != kVersion)
      problem = fmt::format("rank {} on {} is Mien {}, rank 0 is {}", rank, hello, version, kVersion);
    if (peers_.count(rank) != 0) problem = fmt::format("two processes say that they are rank {} of {}", rank, size_);
    peers_.insert_or_assign(rank, Peer{.socket = socket});
    hosts_[static_cast<size_t>(rank)] = hello;
    if (problem.empty()) continue;
    send_to_all(fmt::format("failed 2 {}", problem));
    throw_usage(problem, "start all ranks by one mpirun, srun or torchrun, from one installation");
  }
  std::string welcome = "welcome " + note_;
  for (const std::string& host : hosts_) welcome += " " + host;
  send_to_all(welcome);
}

void Watch::greet(const Place& place) {
  const auto deadline = Clock::now() + patience_.to_join;
  const std::string hello = fmt::format("mien {} {} {} {}", rank_, size_, kVersion, host_name());
  while (true) {
    stop_if_asked();
    if (Clock::now() > deadline)
      throw_failed(fmt::format("rank {} on {} found no rank 0 at {}:{} within {} s",
                               rank_,
                               host_name(),
                               place.address,
                               place.port,
                               duration_cast<seconds>(patience_.to_join).count()),
                   "MASTER_ADDR and MASTER_PORT must be those of rank 0; look at firewalls between the hosts");
    const Addresses found = addresses_of(place.address, place.port);
    for (const addrinfo* a = found.get(); a != nullptr; a = a->ai_next) {
      const int socket = ::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (socket < 0) continue;
      prepare(socket);
      if (::connect(socket, a->ai_addr, a->ai_addrlen) == 0 && send_line(socket, hello)) {
        std::string welcome = receive_line(socket, deadline);
        const std::string word = first_word(welcome);
        if (word == "welcome") {
          note_ = first_word(welcome);
          for (int rank = 0; rank < size_; ++rank) hosts_.push_back(first_word(welcome));
          peers_.emplace(0, Peer{.socket = socket});
          return;
        }
        if (word == "failed") {
          ::close(socket);
          throw Error(ErrorCode::usage, "");  // rank 0 says it
        }
      }
      ::close(socket);
    }
    std::this_thread::sleep_for(milliseconds(100));
  }
}

std::string Watch::name_of(int rank) const {
  return fmt::format("rank {} of {} on {}", rank, size_, hosts_[static_cast<size_t>(rank)]);
}

std::optional<Loss> Watch::loss() {
  const std::lock_guard lock(mutex_);
  return loss_;
}

std::optional<Loss> Watch::wait_for_loss(milliseconds most) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, most, [&] { return loss_.has_value(); });
  return loss_;
}

void Watch::send_to_all(const std::string& line) {
  for (const auto& [rank, peer] : peers_) {
    if (!peer.is_done) send_line(peer.socket, line);
  }
}

bool Watch::tell_failure(ErrorCode code, const std::string& line) {
  const std::lock_guard lock(mutex_);
  has_left_ = true;
  const std::string text = fmt::format("failed {} {}", static_cast<int>(code), one_line(line));
  bool is_told = false;
  for (const auto& [rank, peer] : peers_) {
    if (!peer.is_done) is_told = send_line(peer.socket, text) || is_told;
  }
  return is_told;
}

void Watch::leave() {
  const std::lock_guard lock(mutex_);
  has_left_ = true;
  send_to_all("done");
}

void Watch::set_done(Peer& peer) {
  const std::lock_guard lock(mutex_);
  peer.is_done = true;
}

void Watch::lose(int rank, ErrorCode code, const std::string& why, bool is_told) {
  const std::lock_guard lock(mutex_);
  if (loss_ || has_left_) return;
  loss_ = Loss{.rank = rank, .code = code, .line = why, .is_told = is_told};
  if (rank_ == 0) send_to_all(fmt::format("lost {} {} {}", rank, static_cast<int>(code), one_line(why)));
  changed_.notify_all();
}

void Watch::take_line(int rank, Peer& peer, const std::string& line) {
  std::string rest = line;
  const std::string word = first_word(rest);
  if (word == "beat") {
    peer.state = static_cast<uint64_t>(parse_int(rest).value_or(0));
  } else if (word == "done") {
    set_done(peer);
  } else if (word == "failed") {
    const auto code = static_cast<ErrorCode>(parse_int(first_word(rest)).value_or(0));
    lose(rank, code, fmt::format("{}: {}", name_of(rank), rest), /*is_told=*/true);
    set_done(peer);
  } else if (word == "lost") {
    const int lost = static_cast<int>(parse_int(first_word(rest)).value_or(0));
    const auto code = static_cast<ErrorCode>(parse_int(first_word(rest)).value_or(0));
    lose(lost, code, rest, /*is_told=*/true);
  }
}

void Watch::read_from(int rank, Peer& peer) {
  std::array<char, 4096> bytes{};
  const ssize_t n = ::recv(peer.socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    if (!peer.is_done)
      lose(rank, ErrorCode::failed, fmt::format("{} has ended; the others stop. hint: {}", name_of(rank), kGoOn));
    set_done(peer);
    return;
  }
  peer.heard = Clock::now();
  peer.unread.append(bytes.data(), static_cast<size_t>(n));
  for (size_t end = peer.unread.find('\n'); end != std::string::npos; end = peer.unread.find('\n')) {
    const std::string line = peer.unread.substr(0, end);
    peer.unread.erase(0, end + 1);
    take_line(rank, peer, line);
  }
  if (peer.unread.size() > kLongestLine) peer.unread.clear();
}

void Watch::look_for_silence() {
  for (auto& [rank, peer] : peers_) {
    if (peer.is_done || Clock::now() - peer.heard < patience_.silent) continue;
    lose(rank,
         ErrorCode::failed,
         fmt::format("{} has been silent for {:.0f} s (stopped, or cut off); the others end. hint: {}",
                     name_of(rank),
                     std::chrono::duration<double>(patience_.silent).count(),
                     kGoOn));
    set_done(peer);
  }
}

void Watch::look_for_lateness() {
  // Signs of life are old when they come: only a wait that lasts tells a rank that is late from one that is ahead.
  const uint64_t own = state_;
  const auto now = Clock::now();
  if (own != waited_state_) {
    if ((waited_state_ & 1) != 0) longest_wait_ = std::max(longest_wait_, now - waited_since_);
    waited_state_ = own;
    waited_since_ = now;
  }
  const auto most = std::max<Clock::duration>(patience_.late, 10 * longest_wait_);
  if ((own & 1) == 0 || own / 2 < kWarmUp || now - waited_since_ < most) return;
  for (const auto& [rank, peer] : peers_) {
    if (peer.is_done || peer.state / 2 >= own / 2 || (peer.state & 1) != 0) continue;
    lose(rank,
         ErrorCode::failed,
         fmt::format("{} hangs: the others have waited {:.0f} s for it; they end. hint: {}",
                     name_of(rank),
                     std::chrono::duration<double>(most).count(),
                     kGoOn));
    return;
  }
}

void Watch::watch_all(const std::stop_token& stop) {
  auto next_beat = Clock::now();
  auto before = Clock::now();
  while (!stop.stop_requested()) {
    std::vector<pollfd> sockets;
    std::vector<int> ranks;
    for (const auto& [rank, peer] : peers_) {
      if (peer.is_done) continue;
      sockets.push_back({.fd = peer.socket, .events = POLLIN, .revents = 0});
      ranks.push_back(rank);
    }
    ::poll(sockets.data(), sockets.size(), static_cast<int>(std::min<int64_t>(patience_.tick.count(), 100)));
    // This process itself was stopped for a while: the others' signs of life lie unread.
    const bool was_stopped = Clock::now() - before > patience_.silent / 2;
    before = Clock::now();
    if (was_stopped) waited_since_ = before;
    for (size_t i = 0; i < sockets.size(); ++i) {
      Peer& peer = peers_.at(ranks[i]);
      if (was_stopped) peer.heard = before;
      if (sockets[i].revents != 0) read_from(ranks[i], peer);
    }
    if (Clock::now() < next_beat) continue;
    next_beat = Clock::now() + patience_.tick;
    {
      const std::lock_guard lock(mutex_);
      if (!has_left_) send_to_all(fmt::format("beat {}", state_.load()));
    }
    look_for_silence();
    if (rank_ == 0) look_for_lateness();
  }
}

}  // namespace mien::ranks
