#include "mien/core/error.h"

namespace mien {

std::string Error::line() const {
  std::string text = what();
  if (!hint_.empty()) text += ". hint: " + hint_;
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';  // keeps it one line, and terminals unharmed
  }
  return text;
}

int exit_status(ErrorCode code) {
  switch (code) {
    case ErrorCode::failed:
      return 1;
    case ErrorCode::usage:
      return 2;
    case ErrorCode::bad_data:
      return 3;
    case ErrorCode::interrupted:
      return 130;
  }
  return 1;
}

void throw_usage(const std::string& message, const std::string& hint) { throw Error(ErrorCode::usage, message, hint); }
void throw_bad_data(const std::string& message, const std::string& hint) {
  throw Error(ErrorCode::bad_data, message, hint);
}
void throw_failed(const std::string& message, const std::string& hint) {
  throw Error(ErrorCode::failed, message, hint);
}

}  // namespace mien
