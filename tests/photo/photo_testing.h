#pragma once

#include <functional>
#include <string>

#include "photo/odd_pictures.h"
#include "support/small_experiment.h"
#include <gtest/gtest.h>

#include "mien/core/error.h"
#include "mien/data/faces/find_faces.h"

namespace mien::photo {

/// A command on photographs or videos, with a small trained network and an empty folder. Skipped where OpenCV's
/// cascades are missing.
template <class Options>
class ReadsFaces : public testing::Test {
 protected:
  void SetUp() override {
    try {
      data::FaceFinder finder({});
    } catch (const Error& error) {
      GTEST_SKIP() << error.line();
    }
    const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
    folder_ = test_support::fresh_folder(std::string(test.test_suite_name()) + "-" + test.name());
    options_.reader.weights = {test_support::small_leaky_run().string()};
    options_.out = (folder_ / "out").string();
  }
  static ErrorCode code_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const Error& error) {
      return error.code();
    }
    ADD_FAILURE() << "no mien::Error was thrown";
    return ErrorCode::failed;
  }

  std::filesystem::path folder_;
  Options options_;
  test_support::Heard heard_;
};

}  // namespace mien::photo
