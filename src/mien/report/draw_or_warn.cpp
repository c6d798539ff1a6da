#include "mien/report/draw_or_warn.h"

#include <new>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/report/canvas.h"

namespace mien::report {

void draw_or_warn(ProgressListener& listener, const std::function<void()>& draw) {
  if (!can_draw()) return;
  try {
    draw();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::failed && error.code() != ErrorCode::usage) throw;
    listener.warning(fmt::format("a picture of the run is missing: {}", error.line()));
  } catch (const std::bad_alloc&) {
    listener.warning("a picture of the run is missing: not enough memory to draw it");
  }
}

}  // namespace mien::report
