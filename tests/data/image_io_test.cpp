#include "mien/data/readers/image_io.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "data/data_testing.h"
#include <sys/stat.h>

#include "mien/core/files.h"

namespace mien::data {
namespace {

class ImageIo : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_image_files()) GTEST_SKIP() << "this build has no support for picture files (MIEN_WITH_VISION is off)";
  }

  static std::vector<uint8_t> pattern(int64_t count) {
    std::vector<uint8_t> pixels;
    for (int64_t i = 0; i < count; ++i) pixels.push_back(static_cast<uint8_t>((i * 37 + i / 7 * 11) % 256));
    return pixels;
  }
  std::string jpeg() const {
    const auto path = folder_.path() / "whole.jpg";
    write_jpeg_rgb(path, pattern(48 * 48 * 3), 48, 48);
    return read_text(path);
  }
  std::string problem_of(const std::string& name, std::string_view bytes) const {
    const auto path = folder_.write(name, bytes);
    const Error error = error_of([&] { read_gray_image(path); });
    EXPECT_EQ(error.code(), ErrorCode::bad_data);
    EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    return error.what();
  }
  static void expect_contains(const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
  }

  const TemporaryFolder folder_;
};

TEST_F(ImageIo, RefusesAJpegThatIsCutAnywhere) {
  const std::string whole = jpeg();
  EXPECT_EQ(read_gray_image(folder_.write("whole2.jpeg", whole)).pixels.size(), 48U * 48);
  for (size_t part = 1; part < 20; ++part) {
    problem_of("cut.jpg", std::string_view(whole).substr(0, whole.size() * part / 20));
  }
  problem_of("cut.jpg", std::string_view(whole).substr(0, whole.size() - 2));  // only the end mark is gone
}

TEST_F(ImageIo, RefusesAJpegWithDamagedPixelsAlthoughBothEndsAreWhole) {
  const std::string whole = jpeg();
  int refused = 0;
  for (size_t round = 0; round < 20; ++round) {
    std::string bytes = whole;
    const size_t at = bytes.size() / 2 + round * 20;
    for (size_t i = 0; i < 12; ++i) bytes[at + i] = '\0';
    try {
      read_gray_image(folder_.write("damaged.jpg", bytes));
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GE(refused, 19);
}

TEST_F(ImageIo, RefusesPicturesOfEveryFormatThatAreCut) {
  const auto path = folder_.path() / "whole.png";
  write_png_gray(path, pattern(30 * 20), 30, 20);
  const std::string png = read_text(path);
  const std::string pgm = "P5\n20 30\n255\n" + std::string(600, 'x');
  EXPECT_EQ(read_gray_image(folder_.write("whole.pgm", pgm)).pixels[0], 'x');
  testing::internal::CaptureStderr();
  for (size_t part = 1; part < 10; ++part) {
    problem_of("cut.png", std::string_view(png).substr(0, png.size() * part / 10));
    problem_of("cut.pgm", std::string_view(pgm).substr(0, pgm.size() * part / 10));
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << "a decoder's own lines reach the terminal";
}

/// Bytes written as hexadecimal digits.
std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

/// A number as `size` bytes, the lowest first.
std::string little(uint32_t value, int size) {
  std::string bytes;
  for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

std::string gray_bmp(const std::vector<uint8_t>& pixels) {  // 8x8, upside down as bmp is, 24 bits
  std::string bytes = "BM" + little(54 + 192, 4) + little(0, 4) + little(54, 4) + little(40, 4) + little(8, 4) +
                      little(8, 4) + little(1, 2) + little(24, 2) + std::string(24, '\0');
  for (size_t y = 8; y-- > 0;) {
    for (size_t x = 0; x < 8; ++x) bytes += std::string(3, static_cast<char>(pixels[8 * y + x]));
  }
  return bytes;
}

std::string gray_tif(const std::vector<uint8_t>& pixels) {  // 8x8, one strip, the directory first
  const std::vector<std::array<uint32_t, 3>> tags{{256, 3, 8},
                                                  {257, 3, 8},
                                                  {258, 3, 8},
                                                  {259, 3, 1},
                                                  {262, 3, 1},
                                                  {273, 4, 122},
                                                  {277, 3, 1},
                                                  {278, 3, 8},
                                                  {279, 4, 64}};
  std::string bytes = "II*" + std::string(1, '\0') + little(8, 4) + little(static_cast<uint32_t>(tags.size()), 2);
  for (const auto& [tag, type, value] : tags)
    bytes += little(tag, 2) + little(type, 2) + little(1, 4) + little(value, 4);
  bytes += little(0, 4);
  return bytes + std::string(pixels.begin(), pixels.end());
}

TEST_F(ImageIo, ReadsBmpTifAndWebpAndRefusesThemWhereTheyAreCut) {
  const std::string webp = bytes_of(
      "5249464632000000574542505650384c250000002f07c00100cd6444ff0366dab61999fcedf68f3fb0808888091834274182040912"
      "24e8a30100");
  testing::internal::CaptureStderr();
  for (const auto& [name, bytes] : std::vector<std::pair<std::string, std::string>>{
           {"a.bmp", gray_bmp(pattern(64))}, {"a.tif", gray_tif(pattern(64))}, {"a.webp", webp}}) {
    EXPECT_EQ(read_gray_image(folder_.write(name, bytes)).pixels, pattern(64)) << name;
    for (size_t part = 1; part < 12; ++part)
      problem_of("cut_" + name, std::string_view(bytes).substr(0, bytes.size() * part / 12));
    problem_of("cut_" + name, std::string_view(bytes).substr(0, bytes.size() - 2));
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << "a decoder's own lines reach the terminal";
}

TEST_F(ImageIo, ReadsCmykAsTheColorsThatItPrints) {
  const auto path = folder_.write(
      "inks.jpg",
      bytes_of("ffd8ffee000e41646f626500640000000000ffdb004300030202030202030303030403030405080505040405"
               "0a070706080c0a0c0c0b0a0b0b0d0e12100d0e110e0b0b1016101113141515150c0f171816141812141514ffc00014080008"
               "0008044311004d11005911004b1100ffc40014000100000000000000000000000000000009ffc40014100100000000000000"
               "000000000000000000ffda000e0443004d0059004b00003f0054c550aa2a6fffd9"));
  const RgbImage red = read_rgb_image(path);
  ASSERT_EQ(red.pixels.size(), 3U * 64);
  EXPECT_GE(red.pixels[0], 250);
  EXPECT_LE(red.pixels[1], 5);
  EXPECT_LE(red.pixels[2], 5);
  EXPECT_NEAR(read_gray_image(path).pixels[0], 76, 2);
}

TEST_F(ImageIo, DropsAlphaAndKeepsTheColorsBelowIt) {
  const auto color = folder_.write(
      "alpha.png",
      bytes_of("89504e470d0a1a0a0000000d4948445200000002000000020806000000"
               "72b60d24000000164944415478da63f8cf0004ff191a40e47f4e4e4e46002d3c0499f6d7abf90000000049454e44ae426082"));
  EXPECT_EQ(read_rgb_image(color).pixels, (std::vector<uint8_t>{255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9}));
  const auto gray = folder_.write(
      "gray_alpha.png",
      bytes_of("89504e470d0a1a0a0000000d4948445200000002000000020804000000"
               "d8bfc5af000000124944415478da63e06210f9cf20d7a0c10800093301e57ec78a0a0000000049454e44ae426082"));
  EXPECT_EQ(read_gray_image(gray).pixels, (std::vector<uint8_t>{10, 20, 30, 40}));
}

TEST_F(ImageIo, LooksAtTheFirstBytesBeforeADecoderSeesTheFile) {
  expect_contains(problem_of("x.png", std::string(128, '\0') + "DICM"), "it is a DICOM picture");
  expect_contains(problem_of("y.png", "GIF89a\1\0\1\0"), "it is a gif picture");
  problem_of("z.png", "Pf\n0 0\n-1\n");
  problem_of("text.jpg", "this is no picture");
  problem_of("empty.jpg", "");
  const auto path = folder_.path() / "really_png.jpg";
  write_png_gray(path, pattern(4), 2, 2);
  EXPECT_EQ(read_gray_image(path).pixels, pattern(4)) << "the content decides, not the name";
}

TEST_F(ImageIo, RefusesAPictureBombByTheSizeInItsHeader) {
  std::string png = read_text([&] {
    write_png_gray(folder_.path() / "small.png", pattern(4), 2, 2);
    return folder_.path() / "small.png";
  }());
  png[17] = '\1';  // 65,538 wide
  expect_contains(problem_of("wide.png", png), "65538x2 pixels, expected at most 32,768 a side and 64 million in all");
  expect_contains(problem_of("large.pgm", "P5\n# a comment\n20000 20000\n255\n"), "20000x20000 pixels");
  std::string jpg = jpeg();
  const size_t frame = jpg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpg.replace(frame + 5, 4, "\xff\xff\xff\xff");
  expect_contains(problem_of("large.jpg", jpg), "65535x65535 pixels");
}

TEST_F(ImageIo, NeverOpensAPipe) {
  const auto path = folder_.path() / "pipe.png";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  expect_contains(error_of([&] { read_gray_image(path); }).what(), "no regular file");
}

TEST_F(ImageIo, KeepsEightBitValuesThatAreStoredInSixteenBits) {
  const auto pgm = [](std::vector<int> values) {
    std::string text = "P5\n2 2\n65535\n";
    for (const int value : values) text += {static_cast<char>(value >> 8), static_cast<char>(value & 255)};
    return text;
  };
  EXPECT_EQ(read_gray_image(folder_.write("low.pgm", pgm({0, 17, 128, 255}))).pixels,
            (std::vector<uint8_t>{0, 17, 128, 255}));
  EXPECT_EQ(read_gray_image(folder_.write("high.pgm", pgm({0, 0x1100, 0x80ff, 0xffff}))).pixels,
            (std::vector<uint8_t>{0, 0x11, 0x80, 0xff}));
}

TEST_F(ImageIo, TurnsAPictureAsItsExifOrientationAsks) {
  std::string jpg = jpeg();
  const GrayImage upright = read_gray_image(folder_.write("upright.jpg", jpg));
  std::string exif("Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x06\0\0\0\0\0\0\0", 32);
  const auto size = static_cast<char>(exif.size() + 2);
  jpg.insert(2, std::string("\xff\xe1\0", 3) + size + exif);
  const GrayImage turned = read_gray_image(folder_.write("turned.jpg", jpg));
  for (size_t y = 0; y < 48; ++y) {
    for (size_t x = 0; x < 48; ++x) ASSERT_EQ(turned.pixels[x * 48 + 47 - y], upright.pixels[y * 48 + x]);
  }
}

TEST_F(ImageIo, ReadsColorsInTheOrderRedGreenBlue) {
  const auto path = folder_.path() / "red.png";
  write_png_rgb(path, std::vector<uint8_t>{250, 20, 10}, 1, 1);
  EXPECT_EQ(read_rgb_image(path).pixels, (std::vector<uint8_t>{250, 20, 10}));
  EXPECT_EQ(read_rgb_image(folder_.write("red.ppm", "P6\n1 1\n255\n\xfa\x14\x0a")).pixels,
            (std::vector<uint8_t>{250, 20, 10}));
  write_png_gray(path, std::vector<uint8_t>{77}, 1, 1);
  EXPECT_EQ(read_rgb_image(path).pixels, (std::vector<uint8_t>{77, 77, 77}));
}

}  // namespace
}  // namespace mien::data
