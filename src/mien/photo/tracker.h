#pragma once

#include <cstdint>
#include <vector>

#include "mien/photo/face_reader.h"

namespace mien::photo {

/// A face that is followed through a video.
struct TrackedFace {
  int64_t number = 0;                 ///< from 1, kept as long as the face is followed
  ReadFace face;                      ///< as it was seen last
  std::vector<double> probabilities;  ///< [classes], smoothed over time
  double last_seen = 0;               ///< seconds
  int64_t sightings = 0;
  bool is_seen = false;  ///< in the frame at hand

  int32_t predicted() const;  ///< class of the largest smoothed probability
};

struct TrackerOptions {
  double least_overlap = 0.3;  ///< of a face's boxes in two frames, to be the same face
  double patience = 0.6;       ///< seconds that a lost face keeps its number
  double smoothing = 0.4;      ///< seconds: time constant of the probabilities' exponential mean; 0: none
  int64_t sightings = 3;       ///< frames on which a face is seen before it gets a number: false faces flash up once
};

/// Gives faces of consecutive frames their numbers, by the overlap of their boxes.
class Tracker {
 public:
  explicit Tracker(const TrackerOptions& options) : options_(options) {}

  /// Takes the faces of the frame at `time` (seconds, rising) and returns those that are seen and have a number, by
  /// number. A face that is not reliable is followed, but does not change its probabilities.
  std::vector<TrackedFace> update(double time, std::vector<ReadFace> faces);

 private:
  TrackerOptions options_;
  std::vector<TrackedFace> tracks_;
  int64_t numbers_ = 0;
};

}  // namespace mien::photo
