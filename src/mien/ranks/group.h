#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mien/ranks/place.h"

namespace mien::ranks {

/// A sum over all ranks that is under way.
class Pending {
 public:
  virtual ~Pending() = default;
  /// Until the sum stands in the values it was started with. Throws Error that names a rank that was lost.
  virtual void wait() = 0;
};

/// What is known of each rank, as run.json keeps it.
struct GroupFacts {
  std::string launcher;
  std::vector<std::string> hosts;  ///< by rank
  std::string transport;           ///< "gloo"
};

/// The processes that compute one thing together. Every rank calls the same functions in the same order. Sums are taken
/// in an order that depends on the number of ranks alone, and every rank gets the same bytes.
class Group {
 public:
  virtual ~Group() = default;
  int rank() const { return rank_; }
  int size() const { return size_; }
  bool is_first() const { return rank_ == 0; }
  const GroupFacts& facts() const { return facts_; }
  /// Ranks on this rank's host.
  int processes_here() const;

  /// Replaces values by their sum over the ranks, meanwhile this rank goes on. float32 values must live until wait()
  /// has returned, and as long as the process if it has thrown: they are summed in place.
  virtual std::unique_ptr<Pending> start_sum(std::span<float> values) = 0;
  virtual std::unique_ptr<Pending> start_sum(std::span<double> values) = 0;
  void sum(std::span<double> values) { start_sum(values)->wait(); }
  /// True on all ranks if it is on one.
  bool any(bool value);

  /// Replaces bytes by rank 0's; all ranks give as many.
  virtual void broadcast(std::span<std::byte> bytes) = 0;
  double broadcast(double value);
  /// Rank 0's text, whatever the others give.
  std::string broadcast(const std::string& text);
  /// The lowest rank whose text is not rank 0's; -1 if all are the same. `text` is compared by its checksum.
  int differing_rank(const std::string& text);

  /// This rank's part is done.
  virtual void leave() = 0;
  /// This rank ends for an exception in flight: tells the others, and throws what this rank should say of it: an Error
  /// without a message on ranks whose end another one reports.
  [[noreturn]] virtual void fail(const std::exception_ptr& error) = 0;

 protected:
  Group(const Place& place, GroupFacts facts) : rank_(place.rank), size_(place.size), facts_(std::move(facts)) {}

 private:
  int rank_;
  int size_;
  GroupFacts facts_;
};

/// Whether this build can join ranks; where not, `join` says why.
bool can_join();

/// Brings the ranks of `place` together over TCP; waits up to two minutes for them. Throws Error(failed) naming ranks
/// that did not come; Error(usage) where this build's libtorch has no c10d.
std::unique_ptr<Group> join(const Place& place);

/// Throws Error(usage) if this process is one of several ranks: `what` is computed by one.
void refuse_ranks(const std::string& what, const Variables& variables = process_variable);

}  // namespace mien::ranks
