// Stands in for find_faces.cpp and crop.cpp in a build without OpenCV.
#include "mien/core/error.h"
#include "mien/data/faces/crop.h"
#include "mien/data/faces/find_faces.h"

namespace mien::data {
namespace {

[[noreturn]] void refuse() {
  throw_usage("cannot find faces: this build of mien has no support for picture files",
              "build with -DMIEN_WITH_VISION=ON, which needs OpenCV; csv files work without it");
}

}  // namespace

struct FaceFinder::Detector {};
FaceFinder::FaceFinder(const FindFacesOptions&) { refuse(); }
FaceFinder::~FaceFinder() = default;
FaceFinder::FaceFinder(FaceFinder&&) noexcept = default;
FaceFinder& FaceFinder::operator=(FaceFinder&&) noexcept = default;
std::vector<FoundFace> FaceFinder::find(const GrayImage&) { refuse(); }
std::vector<FoundFace> FaceFinder::find(const RgbImage&) { refuse(); }
const std::string& FaceFinder::name() const { refuse(); }
GrayImage crop_gray(const GrayImage&, const FaceBox&, int64_t) { refuse(); }
GrayImage crop_gray(const RgbImage&, const FaceBox&, int64_t) { refuse(); }
RgbImage crop_rgb(const RgbImage&, const FaceBox&, int64_t) { refuse(); }

}  // namespace mien::data
