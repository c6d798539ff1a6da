#include "photo/photo_testing.h"

#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/photo/video.h"
#include "mien/photo/watch_run.h"

namespace mien::photo {
namespace {

namespace fs = std::filesystem;
using test_support::Heard;

class Watch : public ReadsFaces<WatchOptions> {
 protected:
  void SetUp() override {
    ReadsFaces::SetUp();
    options_.file = (folder_ / "clip.avi").string();
  }
  /// The astronaut wandering to the right, `frames` at 10 a second.
  void write_clip(int frames) const {
    const data::RgbImage photograph = data::read_rgb_image(astronaut());
    VideoSink sink(options_.file, 10, 240, 320);
    for (int i = 0; i < frames; ++i) sink.write(data::crop_rgb(photograph, {150.0 - 4 * i, 20, 240, 240}, 320));
    sink.close();
  }
};

TEST_F(Watch, FollowsAFaceUnderOneNumberAndWritesVideoTimelineAndPlot) {
  write_clip(12);
  const WatchSummary summary = watch_run(options_, heard_);
  EXPECT_EQ(summary.frames, 12);
  EXPECT_EQ(summary.faces, 1);
  EXPECT_EQ(summary.dropped, 0);
  EXPECT_GT(summary.find_ms, 0);
  VideoSource written = VideoSource::file(folder_ / "out" / "video.mp4");
  data::RgbImage frame;
  int frames = 0;
  while (written.read(frame)) ++frames;
  EXPECT_EQ(frames, 12);
  EXPECT_EQ(frame.width, 320);
  const auto lines = split(read_text(folder_ / "out" / "timeline.csv"), '\n');
  EXPECT_GE(lines.size(), 10U);  // a face is named from its third frame on
  EXPECT_TRUE(lines[1].starts_with("2,0.200,1,")) << lines[1];
  EXPECT_GT(data::read_rgb_image(folder_ / "out" / "timeline.png").height, 300);
}

TEST_F(Watch, LiveKeepsThePaceOfTheFile) {
  write_clip(8);
  options_.live = true;
  options_.video = "none";
  const auto start = std::chrono::steady_clock::now();
  const WatchSummary summary = watch_run(options_, heard_);
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(600));
  EXPECT_EQ(summary.frames + summary.dropped, 8);
  EXPECT_FALSE(fs::exists(folder_ / "out" / "video.mp4"));
}

TEST_F(Watch, LooksAtNoMoreSecondsThanAskedFor) {
  write_clip(12);
  options_.seconds = 0.5;
  EXPECT_EQ(watch_run(options_, heard_).frames, 5);
}

TEST_F(Watch, NamesWhatIsNoVideo) {
  EXPECT_EQ(code_of([&] { watch_run(options_, heard_); }), ErrorCode::bad_data);
  write_atomic(options_.file, "this is no video");
  testing::internal::CaptureStderr();
  EXPECT_EQ(code_of([&] { watch_run(options_, heard_); }), ErrorCode::bad_data);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  options_.file.clear();
  EXPECT_EQ(code_of([&] { watch_run(options_, heard_); }), ErrorCode::usage);
  options_.file = astronaut().string();
  options_.camera = 0;
  EXPECT_EQ(code_of([&] { watch_run(options_, heard_); }), ErrorCode::usage);
  options_.file.clear();
  options_.camera = 98;
  EXPECT_EQ(code_of([&] { watch_run(options_, heard_); }), ErrorCode::failed);
}

TEST_F(Watch, DoesNotReplaceTheVideoThatItReads) {
  options_.file = (folder_ / "video.avi").string();
  write_clip(2);
  options_.out = folder_.string();
  options_.video = "avi";
  const std::string before = read_text(options_.file);
  EXPECT_EQ(code_of([&] { watch_run(options_, heard_); }), ErrorCode::usage);
  EXPECT_EQ(read_text(options_.file), before);
}

}  // namespace
}  // namespace mien::photo
