#pragma once

#include <functional>
#include <memory>
#include <string>

#include "mien/core/progress.h"
#include "mien/serve/serve_options.h"
#include "mien/serve/studio.h"

namespace mien::serve {

/// The HTTP side: addresses, limits and who may ask. Holds `studio`, which must outlive it.
class Server {
 public:
  /// Binds the port. Throws Error(failed) if it is taken.
  Server(Studio& studio, const ServeOptions& options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int port() const;
  const std::string& token() const;
  /// What a browser opens, token included where one is needed.
  std::string address() const;
  /// Answers until `stop` or, asked ten times a second, `is_over` says so.
  void run(const std::function<bool()>& is_over);
  void stop();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// `mien serve`: opens the folders and answers until the user stops it.
void serve_task(const std::vector<std::string>& folders, const ServeOptions& options, ProgressListener& listener);

}  // namespace mien::serve
