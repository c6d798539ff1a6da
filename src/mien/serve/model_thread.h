#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "mien/serve/jobs.h"
#include "mien/serve/served_model.h"

namespace mien::serve {

/// The networks, and the one thread that computes with them. Predictions that wait for the same network are answered in
/// one batch.
class ModelThread {
 public:
  explicit ModelThread(size_t queue_limit);
  ~ModelThread();
  ModelThread(const ModelThread&) = delete;
  ModelThread& operator=(const ModelThread&) = delete;

  /// Opens a weights file and returns the model's index. Throws Error if it cannot be read.
  size_t add(const std::filesystem::path& weights);
  size_t size() const;
  const ModelInput& input(size_t model) const;
  /// What the weights' file says beside numbers.
  const std::map<std::string, std::string>& metadata(size_t model) const;
  const network::Graph& graph(size_t model) const;
  /// Layers that class activation methods can read, by name.
  const std::vector<std::string>& layers(size_t model) const;
  /// Names of the methods that are defined for the model.
  const std::vector<std::string>& methods(size_t model) const;
  /// Nothing where the queue is full.
  std::shared_ptr<Job> ask(Question question);
  size_t waiting() const;

 private:
  ServedModel& model(size_t index) const;
  void answer(const std::vector<std::shared_ptr<Job>>& jobs);
  void work();
  /// The next job, and with a prediction those that can be answered together with it. Empty at the end.
  std::vector<std::shared_ptr<Job>> next();

  std::vector<std::unique_ptr<ServedModel>> models_;
  size_t queue_limit_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Job>> queue_;
  std::shared_ptr<Job> running_;
  bool is_over_ = false;
  std::thread thread_;
};

}  // namespace mien::serve
