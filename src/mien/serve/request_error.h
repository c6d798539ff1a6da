#pragma once

#include <string>

namespace mien::serve {

/// What is wrong with a request: an HTTP status and one line.
struct RequestError {
  int status;
  std::string message;
};

}  // namespace mien::serve
