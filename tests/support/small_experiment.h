#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mien/core/progress.h"
#include "mien/runs/experiment.h"

namespace mien::test_support {

/// Collects what a task says.
struct Heard : ProgressListener {
  void line(std::string_view text) override { lines += std::string(text) + "\n"; }
  void warning(std::string_view text) override { warnings += std::string(text) + "\n"; }
  void progress(std::string_view, int64_t, int64_t, std::string_view) override {}
  std::string lines;
  std::string warnings;
};

/// An experiment of a second on drawn faces, on one thread, with its options.
struct SmallExperiment {
  explicit SmallExperiment(const std::filesystem::path& folder,
                           const std::vector<std::pair<std::string, std::string>>& more = {});
  runs::Experiment experiment;
  OptionSet options;
};

/// A fresh folder that holds small.toml, a network.
std::filesystem::path fresh_folder(const std::string& name);
nlohmann::json read_json(const std::filesystem::path& file);

/// A run of leaky4 at a quarter of its width, trained for a moment on drawn faces, once for all tests of a program:
/// every layer name of the built-in recipes' figures, in a second.
const std::filesystem::path& small_leaky_run();

/// While it lives, runs make no pictures and take less time.
class WithoutPictures {
 public:
  WithoutPictures();
  ~WithoutPictures();
  WithoutPictures(const WithoutPictures&) = delete;
  WithoutPictures& operator=(const WithoutPictures&) = delete;

 private:
  bool were_off_;  ///< another one lives
};

}  // namespace mien::test_support
