#include "mien/photo/tracker.h"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

namespace mien::photo {

int32_t TrackedFace::predicted() const {
  return static_cast<int32_t>(std::max_element(probabilities.begin(), probabilities.end()) - probabilities.begin());
}

std::vector<TrackedFace> Tracker::update(double time, std::vector<ReadFace> faces) {
  std::erase_if(tracks_, [&](const TrackedFace& track) { return time - track.last_seen > options_.patience; });
  std::vector<std::tuple<double, size_t, size_t>> pairs;  // overlap, track, face
  for (size_t t = 0; t < tracks_.size(); ++t) {
    tracks_[t].is_seen = false;
    for (size_t f = 0; f < faces.size(); ++f) {
      const double shared = data::overlap(tracks_[t].face.found.box, faces[f].found.box);
      if (shared >= options_.least_overlap) pairs.emplace_back(shared, t, f);
    }
  }
  std::sort(pairs.begin(), pairs.end(), [](const auto& a, const auto& b) {
    return std::tuple(-std::get<0>(a), std::get<1>(a), std::get<2>(a)) <
           std::tuple(-std::get<0>(b), std::get<1>(b), std::get<2>(b));
  });
  std::vector<bool> is_taken(faces.size(), false);
  for (const auto& [shared, t, f] : pairs) {
    TrackedFace& track = tracks_[t];
    if (track.is_seen || is_taken[f]) continue;
    is_taken[f] = true;
    track.is_seen = true;
    const double keep = options_.smoothing > 0 ? std::exp((track.last_seen - time) / options_.smoothing) : 0;
    if (faces[f].quality.is_reliable()) {
      for (size_t c = 0; c < track.probabilities.size(); ++c)
        track.probabilities[c] = keep * track.probabilities[c] + (1 - keep) * faces[f].probabilities[c];
    }
    track.face = std::move(faces[f]);
    track.last_seen = time;
    ++track.sightings;
  }
  for (size_t f = 0; f < faces.size(); ++f) {
    if (is_taken[f]) continue;
    TrackedFace track{.probabilities = faces[f].probabilities, .last_seen = time, .sightings = 1, .is_seen = true};
    track.face = std::move(faces[f]);
    tracks_.push_back(std::move(track));
  }
  std::vector<TrackedFace> seen;
  for (TrackedFace& track : tracks_) {
    if (track.number == 0 && track.sightings >= options_.sightings) track.number = ++numbers_;
    if (track.is_seen && track.number > 0) seen.push_back(track);
  }
  std::sort(seen.begin(), seen.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
  return seen;
}

}  // namespace mien::photo
