#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>

#include "core/temporary_folder.h"
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mien/core/files.h"
#include "mien/report/gnuplot.h"

#define SKIP_WITHOUT_GNUPLOT() \
  if (!mien::report::gnuplot_available()) GTEST_SKIP() << "gnuplot is not installed"

namespace mien::report::test {

/// Sets an environment variable for as long as the object lives.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const std::string& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    ::setenv(name, value.c_str(), 1);
  }
  ~ScopedVariable() { ::setenv(name_, old_.c_str(), 1); }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  const char* name_;
  std::string old_;
};

/// Stands in for gnuplot: keeps the script it is given and answers with a picture's beginning and end.
class ScriptCatcher {
 public:
  ScriptCatcher() : path_("PATH", folder_.path().string()) {
    write_atomic(folder_ / "answer", "\x89PNG\r\n\x1a\n IEND </svg>");
    write_atomic(folder_ / "gnuplot",
                 fmt::format("#!/bin/sh\n/bin/cat > '{0}/script'\n/bin/cat '{0}/answer'\n", folder_.path().string()));
    ::chmod((folder_ / "gnuplot").c_str(), 0755);
  }
  std::string script() const { return read_text(folder_ / "script"); }
  std::filesystem::path picture(const std::string& name = "picture.png") const { return folder_ / name; }

 private:
  TemporaryFolder folder_;
  ScopedVariable path_;
};

/// Width and height of a png by its header; {0, 0} for anything else.
inline std::pair<int64_t, int64_t> png_size(const std::filesystem::path& path) {
  const std::string bytes = read_text(path);
  if (!bytes.starts_with("\x89PNG\r\n\x1a\n") || bytes.size() < 24) return {0, 0};
  const auto number = [&](size_t at) {
    int64_t value = 0;
    for (size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[i]);
    return value;
  };
  return {number(16), number(20)};
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace mien::report::test
