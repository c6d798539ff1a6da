// Stands in for canvas_cairo.cpp in a build without Cairo, and in `mien`, which hands over what draws.
#include "mien/core/error.h"
#include "mien/report/canvas.h"

namespace mien::report {
namespace {

[[noreturn]] void refuse() {
  throw_usage("cannot draw: this build of mien has no support for pictures",
              "build with -DMIEN_WITH_VISION=ON, which needs Cairo, Pango and OpenCV; all numbers are written without");
}

}  // namespace

bool can_draw() { return false; }
double text_width(std::string_view, double, bool) { refuse(); }
double line_height(double) { refuse(); }
std::string encoded_picture(const Canvas&, std::string_view) { refuse(); }
void write_picture(const std::filesystem::path&, const Canvas&) { refuse(); }

}  // namespace mien::report
