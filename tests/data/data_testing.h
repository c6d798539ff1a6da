#pragma once

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/temporary_folder.h"
#include <gtest/gtest.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/parallel.h"
#include "mien/core/progress.h"
#include "mien/core/random.h"
#include "mien/data/dataset.h"

namespace mien::data {

/// Sets the number of threads, and back.
class ThreadCount {
 public:
  explicit ThreadCount(int count) { set_threads(count); }
  ~ThreadCount() { set_threads(0); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;
};

/// Keeps what it hears.
class RecordingListener final : public ProgressListener {
 public:
  void line(std::string_view text) override { lines.emplace_back(text); }
  void warning(std::string_view text) override { warnings.emplace_back(text); }
  void progress(std::string_view, int64_t, int64_t, std::string_view) override {}

  std::vector<std::string> lines;
  std::vector<std::string> warnings;
};

/// The Error that `action` throws; a failed expectation if it throws none.
inline Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no mien::Error was thrown";
  return {ErrorCode::failed, ""};
}

/// Random images [count, side, side] with labels 0-6 in turn.
inline Dataset random_dataset(int64_t count, int64_t side = 8, uint64_t seed = 1) {
  Dataset dataset;
  dataset.height = dataset.width = side;
  dataset.source = "random";
  RandomStream random(seed, "test images");
  for (int64_t i = 0; i < count * side * side; ++i) dataset.pixels.push_back(static_cast<uint8_t>(random.below(256)));
  for (int64_t row = 0; row < count; ++row) {
    dataset.labels.push_back(static_cast<int32_t>(row % 7));
    dataset.usages.push_back(Usage::unknown);
    dataset.ids.push_back(row);
  }
  return dataset;
}

inline void expect_same(const Dataset& a, const Dataset& b) {
  EXPECT_EQ(a.height, b.height);
  EXPECT_EQ(a.width, b.width);
  EXPECT_EQ(a.class_names, b.class_names);
  EXPECT_TRUE(a.pixels == b.pixels);
  EXPECT_EQ(a.labels, b.labels);
  EXPECT_TRUE(a.usages == b.usages);
  EXPECT_EQ(a.ids, b.ids);
  EXPECT_EQ(a.label_distribution, b.label_distribution);
}

/// FER2013's folder, named by the environment variable MIEN_FER2013; nothing where it is not set.
inline std::optional<std::filesystem::path> fer2013_folder() {
  const char* const folder = std::getenv("MIEN_FER2013");
  if (folder == nullptr || *folder == '\0') return std::nullopt;
  return folder;
}

}  // namespace mien::data
