/// The one file that knows c10d.
#include "mien/core/error.h"
#include "mien/ranks/group.h"
#include "mien/ranks/watch.h"

#ifdef MIEN_WITH_C10D

#include <algorithm>
#include <chrono>
#include <optional>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

namespace mien::ranks {
namespace {

using std::chrono::milliseconds;

/// The watch tells of losses long before; this only frees a thread of Gloo's.
constexpr milliseconds kGlooPatience{1'800'000};
constexpr milliseconds kLook{250};

/// What a lost rank means on this one.
class LostError final : public Error {
 public:
  LostError(const Loss& loss, bool speaks) : Error(loss.code, speaks ? loss.line : "") {}
};

c10::intrusive_ptr<c10d::Store> make_store(const std::string& address, uint16_t port, bool is_server) {
  c10d::TCPStoreOptions options;
  options.port = port;
  options.isServer = is_server;
  options.waitWorkers = false;
  options.timeout = milliseconds(60'000);
  return c10::make_intrusive<c10d::TCPStore>(address, options);
}

template <class T>
at::Tensor view_of(std::span<T> values, at::ScalarType type) {
  return at::from_blob(values.data(), {static_cast<int64_t>(values.size())}, at::TensorOptions().dtype(type));
}

class GlooGroup final : public Group {
 public:
  GlooGroup(const Place& place, std::unique_ptr<Watch> watch, c10::intrusive_ptr<c10d::Store> store)
      : Group(place, {.launcher = place.launcher, .hosts = watch->hosts(), .transport = "gloo"}),
        watch_(std::move(watch)) {
    auto options = c10d::ProcessGroupGloo::Options::create(kGlooPatience);
    // The address that the other hosts reach, where a host's own name may only lead to itself.
    options->devices.push_back(
        c10d::ProcessGroupGloo::createDeviceForHostname(own_address_towards(place.address, place.port)));
    options->threads = 2;
    gloo_ = c10::make_intrusive<c10d::ProcessGroupGloo>(std::move(store), place.rank, place.size, options);
  }

  ~GlooGroup() override {
    // Threads that wait for a lost rank cannot be joined; they end with the process.
    if (is_lost_) gloo_.release();
  }

  std::unique_ptr<Pending> start_sum(std::span<float> values) override {
    std::vector<at::Tensor> tensors{view_of(values, at::kFloat)};
    return std::make_unique<Sum>(*this, guarded([&] { return gloo_->allreduce(tensors, {}); }));
  }
  std::unique_ptr<Pending> start_sum(std::span<double> values) override {
    std::vector<at::Tensor> tensors{view_of(values, at::kDouble).clone()};
    auto work = guarded([&] { return gloo_->allreduce(tensors, {}); });
    return std::make_unique<Sum>(*this, std::move(work), view_of(values, at::kDouble), tensors.front());
  }
  void broadcast(std::span<std::byte> bytes) override {
    const at::Tensor values = view_of(bytes, at::kByte);
    std::vector<at::Tensor> tensors{values.clone()};
    wait_for(guarded([&] { return gloo_->broadcast(tensors, {}); }));
    values.copy_(tensors.front());
  }

  void leave() override { watch_->leave(); }

  [[noreturn]] void fail(const std::exception_ptr& error) override {
    is_lost_ = true;
    ErrorCode code = ErrorCode::failed;
    std::string line;
    try {
      std::rethrow_exception(error);
    } catch (const LostError&) {
      throw;
    } catch (const Error& own) {
      code = own.code();
      line = own.line();
    } catch (const std::exception& own) {
      line = own.what();
    }
    const bool is_told = watch_->tell_failure(code, line);
    if (is_first() || !is_told) std::rethrow_exception(error);
    throw Error(code, "");
  }

 private:
  using Work = decltype(std::declval<c10d::ProcessGroupGloo>().allreduce(std::declval<std::vector<at::Tensor>&>(),
                                                                         c10d::AllreduceOptions{}));

  class Sum final : public Pending {
   public:
    /// `sum` is Gloo's own memory, which may be written after a rank was lost and `values` are gone; undefined where
    /// the caller answers for that.
    Sum(GlooGroup& group, Work work, at::Tensor values = {}, at::Tensor sum = {})
        : group_(group), work_(std::move(work)), values_(std::move(values)), sum_(std::move(sum)) {}
    void wait() override {
      group_.wait_for(work_);
      if (sum_.defined()) values_.copy_(sum_);
    }

   private:
    GlooGroup& group_;
    Work work_;
    at::Tensor values_, sum_;
  };

  template <class Start>
  Work guarded(const Start& start) {
    try {
      return start();
    } catch (const std::exception& error) {
      give_up(error.what());
    }
  }

  void wait_for(const Work& work) {
    watch_->waits();
    while (!work->isCompleted()) {
      try {
        work->wait(kLook);
      } catch (const std::exception&) {  // not yet, or failed, which is told below
      }
      if (const auto loss = watch_->loss(); loss && !work->isCompleted()) lose(*loss);
    }
    try {
      work->wait();
    } catch (const std::exception& error) {
      give_up(error.what());
    }
    watch_->passed();
  }

  /// A broken connection: the watch knows whose, or will in a moment.
  [[noreturn]] void give_up(const std::string& what) {
    if (const auto loss = watch_->wait_for_loss(milliseconds(20'000))) lose(*loss);
    is_lost_ = true;
    throw_failed(fmt::format("rank {} lost its connection to the others: {}", rank(), what.substr(0, what.find('\n'))),
                 "start the same command again to go on from the last epoch");
  }

  [[noreturn]] void lose(const Loss& loss) {
    is_lost_ = true;
    // One line: rank 0's, or, where rank 0 is gone without a word, one of each host's.
    const auto& hosts = facts().hosts;
    const auto here = std::find(hosts.begin() + 1, hosts.end(), hosts[static_cast<size_t>(rank())]) - hosts.begin();
    throw LostError(loss, is_first() || (loss.rank == 0 && !loss.is_told && here == rank()));
  }

  std::unique_ptr<Watch> watch_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_;
  bool is_lost_ = false;
};

}  // namespace

bool can_join() { return true; }

std::unique_ptr<Group> join(const Place& place) {
  c10::intrusive_ptr<c10d::Store> store;
  std::string note = "-";
  try {
    if (place.rank == 0) {
      store = make_store("127.0.0.1", 0, true);
      note = std::to_string(static_cast<const c10d::TCPStore&>(*store).getPort());
    }
    auto watch = std::make_unique<Watch>(place, note);
    if (place.rank != 0) store = make_store(place.address, static_cast<uint16_t>(std::stoi(watch->note())), false);
    return std::make_unique<GlooGroup>(place, std::move(watch), std::move(store));
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    const std::string text = error.what();
    throw_failed(
        fmt::format(
            "rank {} of {} cannot reach the others: {}", place.rank, place.size, text.substr(0, text.find('\n'))),
        "MASTER_ADDR must be an address of rank 0's host that all others reach");
  }
}

}  // namespace mien::ranks

#else

namespace mien::ranks {

bool can_join() { return false; }

std::unique_ptr<Group> join(const Place&) {
  throw_usage("several ranks cannot train together: this Mien was built without c10d",
              "build it with libgloo-dev and a libtorch that has Gloo, as Debian's has; or start one process");
}

}  // namespace mien::ranks

#endif
