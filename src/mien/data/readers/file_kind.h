#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mien::data {

/// The picture formats that Mien reads.
enum class PictureFormat : uint8_t { png, jpeg, bmp, tiff, webp, pnm };

/// Their names for messages: "png, jpg, bmp, tif, webp, pgm or ppm".
inline constexpr std::string_view kPictureFormats = "png, jpg, bmp, tif, webp, pgm or ppm";

/// How many first bytes of a file tell what it is.
inline constexpr size_t kTellingBytes = 512;

/// The format that a file's first bytes say, whatever its name; nothing if it is none that Mien reads.
std::optional<PictureFormat> picture_format(std::string_view first_bytes);

/// "png", "jpg", ...
std::string_view to_text(PictureFormat format);

/// A file that is neither a csv nor a picture that Mien reads.
struct ForeignFile {
  std::string_view what;    ///< "a zip archive"
  std::string_view remedy;  ///< what to do about it
};

/// What a file's first bytes say that it is, for files that are often given by mistake (archives, tables of other
/// programs, pictures of other formats, Git LFS pointers, web pages); nothing for all others.
std::optional<ForeignFile> foreign_file(std::string_view first_bytes);

/// Size of a picture.
struct PictureSize {
  int64_t width = 0;   ///< pixels
  int64_t height = 0;  ///< pixels
};

/// The size that a picture's header names, read without a decoder; nothing where the header is cut or senseless.
std::optional<PictureSize> picture_size(PictureFormat format, std::string_view bytes);

}  // namespace mien::data
