#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/types.h>

namespace mien {

/// What a finished program left behind.
struct Outcome {
  int status = -1;  ///< exit status, or 128 + the signal that ended it
  std::string out;
  std::string err;
};

struct StartOptions {
  bool with_pictures = false;                       ///< a run without them is faster
  std::optional<uint64_t> largest_file_bytes = {};  ///< a disk that is full after that much
  int kill_at = 0;  ///< killed before this file operation, counted from 1; 0 lets it live
  const char* program = MIEN_PROGRAM;
  std::vector<std::string> environment = {};  ///< "NAME=value", beside what every child gets
  std::string log;                            ///< what the files of its output are called behind "stdout" and "stderr"
};

/// The built program, running in a folder.
class Child {
 public:
  Child(const std::vector<std::string>& words, const std::filesystem::path& folder, const StartOptions& options);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  void send(int signal) const;
  bool is_running();
  Outcome wait();

 private:
  std::filesystem::path folder_;
  std::string log_;
  pid_t process_ = -1;
  std::optional<int> wait_status_;
};

/// A folder of its own for each test, with a csv of drawn faces and a small network in it.
class CliTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  std::filesystem::path path(const std::string& name) const { return folder_ / name; }
  void write(const std::string& name, const std::string& text) const;
  std::string read(const std::string& name) const;
  Outcome mien(const std::vector<std::string>& words, const StartOptions& options = {}) const;
  /// Words of a training of a second, on one thread.
  std::vector<std::string> training(const std::vector<std::string>& more = {}) const;
  /// A labeled csv of drawn faces.
  const std::string& faces_csv() const;

 private:
  std::filesystem::path folder_;
};

/// The program refused with `status` and one line on standard error that holds all of `parts`, and said nothing else.
testing::AssertionResult refused(const Outcome& outcome, int status, const std::vector<std::string>& parts);

/// `first` and then `more`.
std::vector<std::string> operator+(std::vector<std::string> first, const std::vector<std::string>& more);

}  // namespace mien
