#pragma once

#include <cstdint>
#include <string>

#include "mien/core/options.h"

namespace mien::serve {

/// Where `mien serve` listens, and what it takes.
struct ServeOptions {
  std::string host = "127.0.0.1";
  int64_t port = 8765;
  std::string token;
  int64_t body_megabytes = 16;
  int64_t queue = 64;
  int64_t connections = 128;
  int64_t threads = 0;
  void bind(OptionSet& options);

  bool is_loopback() const { return host == "localhost" || host == "::1" || host.starts_with("127."); }
};

}  // namespace mien::serve
