// Stands in for all else of this folder in a build without OpenCV.
#include "mien/core/error.h"
#include "mien/photo/crop_run.h"
#include "mien/photo/photo_run.h"
#include "mien/photo/watch_run.h"

namespace mien::photo {
namespace {

[[noreturn]] void refuse() {
  throw_usage("cannot read photographs: this build of mien has no support for picture files",
              "build with -DMIEN_WITH_VISION=ON, which needs OpenCV; csv files work without it");
}

}  // namespace

PhotoSummary photo_run(const PhotoOptions&, ProgressListener&) { refuse(); }
WatchSummary watch_run(const WatchOptions&, ProgressListener&) { refuse(); }
CropSummary crop_run(const CropRunOptions&, ProgressListener&) { refuse(); }

}  // namespace mien::photo
