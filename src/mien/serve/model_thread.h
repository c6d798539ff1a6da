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

namespace mien::serve {

/// What a face must be for a network.
struct ModelInput {
  int64_t channels = 0;
  int64_t height = 0;
  int64_t width = 0;
  std::vector<std::string> class_names;
};

/// The networks, and the one thread that computes with them. Predictions that wait for the same network are answered in
/// one batch.
class ModelThread {
 public:
  /// `weights`: one file a model. Throws Error if one cannot be read.
  ModelThread(const std::vector<std::filesystem::path>& weights, size_t queue_limit);
  ~ModelThread();
  ModelThread(const ModelThread&) = delete;
  ModelThread& operator=(const ModelThread&) = delete;

  size_t size() const;
  const ModelInput& input(size_t model) const;
  /// Layers that class activation methods can read, by name.
  const std::vector<std::string>& layers(size_t model) const;
  /// Names of the methods that are defined for the model.
  const std::vector<std::string>& methods(size_t model) const;
  /// Nothing where the queue is full.
  std::shared_ptr<Job> ask(Question question);
  size_t waiting() const;

 private:
  struct Model;
  void work();
  /// The next job, and with a prediction those that can be answered together with it. Empty at the end.
  std::vector<std::shared_ptr<Job>> next();

  std::vector<std::unique_ptr<Model>> models_;
  size_t queue_limit_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Job>> queue_;
  bool is_over_ = false;
  std::thread thread_;
};

}  // namespace mien::serve
