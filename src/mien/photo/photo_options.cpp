// Options and summaries: what needs neither OpenCV nor libtorch.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/core/text.h"
#include "mien/photo/crop_run.h"
#include "mien/photo/photo_run.h"
#include "mien/photo/watch_run.h"

namespace mien::photo {
namespace {

/// One line; bytes of a path that are not UTF-8 are replaced.
std::string line_of(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

void bind_finding(OptionSet& options, data::FindFacesOptions& find, data::CropOptions& crop) {
  find.bind(options);
  crop.bind(options);
}

void PhotoOptions::bind(OptionSet& options) {
  options.group("photo");
  options.add(&out,
              {.name = "out", .help = "folder to write faces.csv, faces.json, annotated pictures and crops into"});
  options.add(&explain,
              {.name = "explain",
               .help = "explanation methods (`mien methods` lists them), separated by commas, whose maps are laid over "
                       "the photographs"});
  options.add(&layer,
              {.name = "layer",
               .help = "layer that class-activation methods look at; empty: the last one with an extent",
               .only_with = {{"explain", "!"}}});
  options.add(&reader.vote,
              {.name = "vote",
               .help = "how several networks are combined",
               .choices = {"majority", "mean-probability", "mean-logit"}});
  options.add(&threads,
              {.name = "threads", .help = "threads to compute with; 0 takes all cores", .minimum = 0, .maximum = 1024});
  options.group("faces");
  bind_finding(options, reader.find, reader.crop);
}

void CropRunOptions::bind(OptionSet& options) {
  options.group("crop");
  options.add(&side, {.name = "side", .help = "side of the crops", .unit = "pixels", .minimum = 8, .maximum = 1024});
  options.add(&color, {.name = "color", .help = "write the crops in color"});
  options.add(&all_faces, {.name = "all-faces", .help = "crop every face of a photograph, not the largest alone"});
  options.add(&reliable_only,
              {.name = "reliable-only", .help = "leave out faces that are small, blurred, dark, cut off or tilted"});
  options.add(&threads,
              {.name = "threads", .help = "threads to compute with; 0 takes all cores", .minimum = 0, .maximum = 1024});
  options.group("faces");
  bind_finding(options, find, crop);
}

std::string PhotoSummary::text() const {
  return fmt::format(
      "{} picture{}: {} face{}, {} of them not reliable; {} without a face, {} unreadable; results: {}\n",
      pictures + failed,
      pictures + failed == 1 ? "" : "s",
      faces,
      faces == 1 ? "" : "s",
      not_reliable,
      without_face,
      failed,
      csv.parent_path().string());
}

std::string PhotoSummary::json() const {
  return line_of({{"pictures", pictures},
                  {"failed", failed},
                  {"without_face", without_face},
                  {"faces", faces},
                  {"not_reliable", not_reliable},
                  {"file", csv.string()}});
}

std::string CropSummary::text() const {
  return fmt::format("{} faces of {} pictures in {}; {} pictures left out\n",
                     with_commas(faces),
                     with_commas(pictures),
                     folder.string(),
                     with_commas(left_out));
}

std::string CropSummary::json() const {
  return line_of({{"faces", faces}, {"pictures", pictures}, {"left_out", left_out}, {"folder", folder.string()}});
}

void WatchOptions::bind(OptionSet& options) {
  options.group("watch");
  options.add(&camera,
              {.name = "camera",
               .help = "number of a camera to watch in place of a file; -1: none",
               .minimum = -1,
               .maximum = 99});
  options.add(&size,
              {.name = "size",
               .help = "WIDTHxHEIGHT that the camera is asked for; empty: as it likes",
               .only_with = {{"camera", "!-1"}}});
  options.add(&out, {.name = "out", .help = "folder to write the video, timeline.csv and timeline.png into"});
  options.add(&video,
              {.name = "video", .help = "kind of the annotated video", .choices = {"mp4", "mkv", "avi", "none"}});
  options.add(&seconds,
              {.name = "seconds",
               .help = "how much of the video is looked at; 0: all, of a camera until Ctrl-C",
               .unit = "seconds",
               .minimum = 0});
  options.add(&live,
              {.name = "live",
               .help = "watch a file as fast as it plays, and drop frames rather than fall behind, as with a camera",
               .only_with = {{"camera", "-1"}}});
  options.add(&show, {.name = "show", .help = "show the frames in a window, which ffplay opens"});
  options.add(&tracker.smoothing,
              {.name = "smooth",
               .help = "time constant with which probabilities are smoothed; 0: not at all",
               .unit = "seconds",
               .minimum = 0,
               .maximum = 60});
  options.add(&tracker.sightings,
              {.name = "sightings",
               .help = "frames on which a face is seen before it gets a number; false faces are often seen once",
               .unit = "frames",
               .minimum = 1,
               .maximum = 100});
  options.add(&reader.vote,
              {.name = "vote",
               .help = "how several networks are combined",
               .choices = {"majority", "mean-probability", "mean-logit"}});
  options.add(&threads,
              {.name = "threads", .help = "threads to compute with; 0 takes all cores", .minimum = 0, .maximum = 1024});
  options.group("faces");
  bind_finding(options, reader.find, reader.crop);
}

std::string WatchSummary::text() const {
  return fmt::format(
      "{} frames of {}x{} ({:.1f} s), {} dropped, {} face{}\n"
      "a frame: reading {:.1f} ms, finding faces {:.1f} ms, network {:.1f} ms, drawing and writing {:.1f} ms; {:.1f} "
      "frames/s\n"
      "timeline: {}\n",
      frames,
      width,
      height,
      seconds,
      dropped,
      faces,
      faces == 1 ? "" : "s",
      read_ms,
      find_ms,
      network_ms,
      output_ms,
      frames_per_second,
      csv.string());
}

std::string WatchSummary::json() const {
  const nlohmann::ordered_json json{{"frames", frames},
                                    {"dropped", dropped},
                                    {"faces", faces},
                                    {"width", width},
                                    {"height", height},
                                    {"seconds", seconds},
                                    {"read_ms", read_ms},
                                    {"find_ms", find_ms},
                                    {"network_ms", network_ms},
                                    {"output_ms", output_ms},
                                    {"frames_per_second", frames_per_second},
                                    {"file", csv.string()}};
  return line_of(json);
}

}  // namespace mien::photo
