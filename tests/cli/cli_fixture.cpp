#include "cli/cli_fixture.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace mien {
namespace {

namespace fs = std::filesystem;

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

constexpr const char* kNetwork = R"(name = "small"
input = [1, 48, 48]
layers = [
  { conv = 8, kernel = 3, padding = "same", stride = 2 }, "relu", "batch_norm", { max_pool = 2 }, { dropout = 0.2 },
  "flatten", { dense = 7 },
]
)";

}  // namespace

Child::Child(const std::vector<std::string>& words, const fs::path& folder, const StartOptions& options)
    : folder_(folder), log_(options.log) {
  std::vector<std::string> all{options.program};
  all.insert(all.end(), words.begin(), words.end());
  std::vector<char*> pointers;
  for (std::string& word : all) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const std::string pictures = options.with_pictures ? "MIEN_PICTURES=on" : "MIEN_PICTURES=off";
  const std::string home = "HOME=" + folder.string();
  std::vector<const char*> environment{pictures.c_str(), home.c_str(), "OMP_NUM_THREADS=1"};
  const std::string kill_at = "MIEN_KILL_AT=" + std::to_string(options.kill_at);
  if (options.kill_at > 0) environment.insert(environment.end(), {kill_at.c_str(), "LD_PRELOAD=" MIEN_KILL_AT_LIBRARY});
  for (const std::string& variable : options.environment) environment.push_back(variable.c_str());
  environment.push_back(nullptr);
  const std::string out = (folder / ("stdout" + log_)).string();
  const std::string err = (folder / ("stderr" + log_)).string();
  process_ = ::fork();
  if (process_ != 0) return;
  // Between fork and exec only calls that are safe there.
  if (::chdir(folder_.c_str()) != 0) ::_exit(126);
  ::dup2(::open("/dev/null", O_RDONLY), STDIN_FILENO);
  ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), STDOUT_FILENO);
  ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), STDERR_FILENO);
  if (options.largest_file_bytes) {
    const rlimit limit{*options.largest_file_bytes, *options.largest_file_bytes};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ::execve(options.program, pointers.data(), const_cast<char* const*>(environment.data()));
  ::_exit(127);
}

Child::~Child() {
  if (process_ > 0 && !wait_status_) {
    ::kill(process_, SIGKILL);
    wait();
  }
}

void Child::send(int signal) const { ::kill(process_, signal); }

bool Child::is_running() {
  int status = 0;
  if (!wait_status_ && ::waitpid(process_, &status, WNOHANG) == process_) wait_status_ = status;
  return !wait_status_;
}

Outcome Child::wait() {
  if (!wait_status_) {
    int status = 0;
    ::waitpid(process_, &status, 0);
    wait_status_ = status;
  }
  const int status = *wait_status_;
  return {.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          .out = contents(folder_ / ("stdout" + log_)),
          .err = contents(folder_ / ("stderr" + log_))};
}

void CliTest::SetUp() {
  const auto* test = testing::UnitTest::GetInstance()->current_test_info();
  folder_ = fs::path(testing::TempDir()) / ("mien-cli-" + std::to_string(::getpid()) + "-" + test->name());
  fs::remove_all(folder_);
  fs::create_directories(folder_);
  write("small.toml", kNetwork);
}

void CliTest::TearDown() {
  if (!HasFailure()) fs::remove_all(folder_);
}

void CliTest::write(const std::string& name, const std::string& text) const {
  fs::create_directories(path(name).parent_path());
  std::ofstream(path(name), std::ios::binary) << text;
}

std::string CliTest::read(const std::string& name) const { return contents(path(name)); }

Outcome CliTest::mien(const std::vector<std::string>& words, const StartOptions& options) const {
  return Child(words, folder_, options).wait();
}

std::vector<std::string> CliTest::training(const std::vector<std::string>& more) const {
  return std::vector<std::string>{
             "train", "--network", "small.toml", "--data", "drawn:140", "--epochs", "2", "--threads", "1"} +
         more;
}

const std::string& CliTest::faces_csv() const {
  static const std::string csv = [this] {
    mien({"data", "draw", "drawn", "--draw-count", "3"});
    return read("drawn/faces.csv");
  }();
  return csv;
}

testing::AssertionResult refused(const Outcome& outcome, int status, const std::vector<std::string>& parts) {
  const auto fail = [&](const std::string& why) {
    return testing::AssertionFailure() << why << "\nstatus " << outcome.status
                                       << "\nstdout: " << outcome.out.substr(0, 500)
                                       << "\nstderr: " << outcome.err.substr(0, 1000);
  };
  if (outcome.status != status) return fail("expected status " + std::to_string(status));
  if (!outcome.out.empty()) return fail("standard output is not empty");
  if (!outcome.err.starts_with("mien: ")) return fail("standard error does not begin with 'mien: '");
  if (std::count(outcome.err.begin(), outcome.err.end(), '\n') != 1) return fail("standard error is not one line");
  for (const std::string& part : parts) {
    if (outcome.err.find(part) == std::string::npos) return fail("standard error lacks '" + part + "'");
  }
  return testing::AssertionSuccess();
}

std::vector<std::string> operator+(std::vector<std::string> first, const std::vector<std::string>& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

}  // namespace mien
