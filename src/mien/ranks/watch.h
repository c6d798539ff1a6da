#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "mien/core/error.h"
#include "mien/ranks/place.h"

namespace mien::ranks {

/// How long is waited for whom.
struct Patience {
  std::chrono::milliseconds to_join{120'000};  ///< until all ranks are there
  std::chrono::milliseconds silent{15'000};    ///< without a sign of life from a process
  std::chrono::milliseconds late{20'000};      ///< of one rank, while all others wait for it
  std::chrono::milliseconds tick{500};         ///< between signs of life
};

/// Why a group has ended before its work was done.
struct Loss {
  int rank = 0;
  ErrorCode code = ErrorCode::failed;
  std::string line;      ///< names the rank and its host
  bool is_told = false;  ///< by that rank itself, which says so too
};

/// The ranks' watch over each other: a connection from every rank to rank 0 beside those that carry numbers. It brings
/// them together, carries signs of life twice a second, and tells all of them at once when one ends, falls silent (a
/// stopped process, a host that is off, a cut cable) or does not come where all others wait for it.
class Watch {
 public:
  /// Rank 0 listens at place.address and place.port until all ranks are there; the others connect. `note` is what rank
  /// 0 tells them (one word). Throws Error(failed) that names who is missing, Error(usage) if two processes are the
  /// same rank or their programs' versions differ.
  Watch(const Place& place, std::string note, const Patience& patience = {});
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  const std::string& note() const { return note_; }
  const std::vector<std::string>& hosts() const { return hosts_; }  ///< by rank

  /// This rank waits for all others at its next common point; `passed`: it no longer does.
  void waits() { state_ = (state_ | 1) + 2; }
  void passed() { state_ = state_ & ~uint64_t{1}; }

  /// Nothing while all is well.
  std::optional<Loss> loss();
  /// Waits for a loss; nothing if there is none by then.
  std::optional<Loss> wait_for_loss(std::chrono::milliseconds most);

  /// Tells the others that this rank has failed; false if nobody could be told.
  bool tell_failure(ErrorCode code, const std::string& line);
  /// This rank's work is done: its end is no loss.
  void leave();

 private:
  using Clock = std::chrono::steady_clock;
  struct Peer {
    int socket = -1;
    std::string unread;
    Clock::time_point heard;
    uint64_t state = 0;  ///< twice the common points it has come to, plus 1 while it waits
    bool is_done = false;
  };

  void gather(const Place& place);
  void greet(const Place& place);
  void watch_all(const std::stop_token& stop);
  void read_from(int rank, Peer& peer);
  void take_line(int rank, Peer& peer, const std::string& line);
  void look_for_silence();
  void look_for_lateness();
  void lose(int rank, ErrorCode code, const std::string& why, bool is_told = false);
  void set_done(Peer& peer);
  void send_to_all(const std::string& line);
  std::string name_of(int rank) const;

  int rank_;
  int size_;
  Patience patience_;
  std::string note_;
  std::vector<std::string> hosts_;
  std::atomic<uint64_t> state_ = 0;
  std::map<int, Peer> peers_;  // rank 0: all others; others: rank 0
  std::mutex mutex_;           // of loss_ and of what is sent
  std::condition_variable changed_;
  std::optional<Loss> loss_;
  uint64_t waited_state_ = 0;  // rank 0's at the last look, and since when
  Clock::time_point waited_since_;
  Clock::duration longest_wait_{};
  bool has_left_ = false;
  std::jthread thread_;
};

/// This machine's name.
std::string host_name();

/// The address that this machine has towards `address`: where others of that network reach it.
std::string own_address_towards(const std::string& address, uint16_t port);

}  // namespace mien::ranks
