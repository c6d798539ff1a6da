#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace mien {

/// What went wrong, as the program's exit status sees it.
enum class ErrorCode {
  failed,       ///< exit 1: the operation could not be carried out
  usage,        ///< exit 2: the request itself is wrong (flag, recipe, network file)
  bad_data,     ///< exit 3: input data is wrong (csv, image, weights)
  interrupted,  ///< exit 130: stopped by the user; what was done is kept
};

/// The one exception of Mien: ends an operation.
/// `message` says what was being done, on what, what was found and what was expected; `hint` says what to try.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message, std::string hint = {})
      : std::runtime_error(message), code_(code), hint_(std::move(hint)) {}

  ErrorCode code() const { return code_; }
  const std::string& hint() const { return hint_; }
  /// "message" or "message. hint: hint", on one line.
  std::string line() const;

 private:
  ErrorCode code_;
  std::string hint_;
};

/// Exit status of the program for `code`: 1, 2, 3 or 130.
int exit_status(ErrorCode code);

[[noreturn]] void throw_usage(const std::string& message, const std::string& hint = {});
[[noreturn]] void throw_bad_data(const std::string& message, const std::string& hint = {});
[[noreturn]] void throw_failed(const std::string& message, const std::string& hint = {});

}  // namespace mien
