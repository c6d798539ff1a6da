#include "mien/serve/serve_options.h"

namespace mien::serve {

void ServeOptions::bind(OptionSet& options) {
  options.group("serve");
  options.add(&host,
              {.name = "host",
               .help = "address to listen on; beyond this machine (0.0.0.0) every request needs the token",
               .level = OptionLevel::common});
  options.add(&port,
              {.name = "port",
               .help = "port to listen on; 0 takes a free one",
               .minimum = 0,
               .maximum = 65535,
               .level = OptionLevel::common});
  options.add(&token,
              {.name = "token", .help = "what a browser must know to get in; empty makes one up where one is needed"});
  options.add(&body_megabytes,
              {.name = "max-body", .help = "largest request", .unit = "MB", .minimum = 1, .maximum = 256});
  options.add(&queue,
              {.name = "max-queue",
               .help = "questions that wait for the network at once; more are refused with 503",
               .minimum = 1,
               .maximum = 10'000});
  options.add(&connections,
              {.name = "max-connections",
               .help = "requests that are answered at once; others wait",
               .minimum = 2,
               .maximum = 512});
  options.add(&threads,
              {.name = "threads", .help = "threads that networks compute with; 0 takes all cores", .minimum = 0});
}

}  // namespace mien::serve
