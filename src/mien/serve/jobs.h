#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace mien {
class ProgressListener;
}

namespace mien::serve {

struct ServedModel;

/// What is asked of a network about one face.
struct Question {
  size_t model = 0;                            ///< index of ModelThread's models
  std::vector<uint8_t> pixels;                 ///< [C,H,W] of the network's input
  std::string method;                          ///< empty: only the prediction
  std::string target = "predicted";            ///< or a class
  std::map<std::string, std::string> options;  ///< of explain::MethodOptions, by name
  bool measure = false;                        ///< deletion and insertion, too
  /// Where it is neither a prediction nor an explanation: what is done, on the models' thread. Returns JSON.
  std::function<std::string(ServedModel&, ProgressListener&)> work = {};

  bool is_prediction() const { return method.empty() && !work; }
};

/// How far a job is.
struct JobProgress {
  std::string what;
  int64_t done = 0;
  int64_t total = 0;
};

/// A question on its way. Asked, answered and waited for on different threads.
class Job {
 public:
  enum class State { waiting, running, done, failed, cancelled };

  explicit Job(Question question) : question_(std::move(question)) {}
  const Question& question() const { return question_; }

  State state() const;
  /// JSON of the answer, or the reason of a failure.
  std::string text() const;
  bool is_over() const;
  /// Whether the failure is the asker's (400) or the server's (500).
  bool is_askers_fault() const { return is_askers_fault_; }
  /// Waits until the job is over or the time has passed; false if it is not over.
  bool wait(std::chrono::milliseconds time) const;
  JobProgress progress() const;
  /// A job that waits is never started; one that runs ends at its next step.
  void cancel();

  /// False if the job was cancelled meanwhile.
  bool start();
  void finish(std::string answer);
  void tell(JobProgress progress);
  void fail(std::string reason, bool is_askers_fault);

 private:
  void end(State state, std::string text);

  const Question question_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  State state_ = State::waiting;
  std::string text_;
  JobProgress progress_;
  std::atomic<bool> is_askers_fault_ = false;
};

/// "waiting", "running", "done", "failed", "cancelled".
std::string to_text(Job::State state);

}  // namespace mien::serve
