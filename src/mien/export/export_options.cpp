#include "mien/export/export_run.h"

// Apart from export_run.cpp, so that the program without libtorch can link it.
namespace mien::exporting {

const std::vector<ExportFormat>& export_formats() {
  static const std::vector<ExportFormat> all{{"onnx", ".onnx", false},
                                             {"safetensors-torch", "-torch", true},
                                             {"torchscript", ".pt", false},
                                             {"c", "-c", true},
                                             {"web", "-web", true}};
  return all;
}

void ExportOptions::bind(OptionSet& options) {
  std::vector<std::string> names;
  for (const ExportFormat& format : export_formats()) names.push_back(format.name);
  options.group("export");
  options.add(&to,
              {.name = "to",
               .help = "format: onnx, torchscript, or a folder with PyTorch's weights and model.py "
                       "(safetensors-torch), with a library "
                       "and a header for C (c), or with a page for a static server (web)",
               .choices = names,
               .level = OptionLevel::common});
  options.add(&out,
              {.name = "out",
               .help = "file or folder to write; empty names it after the network",
               .level = OptionLevel::common});
  options.add(&overwrite, {.name = "overwrite", .help = "replace an output that exists"});
  options.add(&fp16,
              {.name = "fp16", .help = "weights and sums in 16-bit floating point", .only_with = {{"to", "onnx"}}});
  options.add(&int8,
              {.name = "int8",
               .help = "weights and activations in 8 bits, whose ranges are measured on the faces of --data",
               .only_with = {{"to", "onnx"}}});
  options.add(
      &data.data,
      {.name = "data", .help = "csv or folder of faces to measure int8's ranges on", .only_with = {{"int8", "true"}}});
  options.add(&calibration_faces,
              {.name = "calibration-faces",
               .help = "faces that int8's ranges are measured on",
               .minimum = 1,
               .maximum = 100000,
               .only_with = {{"int8", "true"}}});
  options.add(&input,
              {.name = "input",
               .help = "gray levels that the model takes: uint8, or float from 0 to 255",
               .choices = {"uint8", "float"},
               .only_with = {{"to", "onnx"}}});
  options.add(&output,
              {.name = "output",
               .help = "what the model gives",
               .choices = {"probabilities", "logits"},
               .only_with = {{"to", "onnx"}}});
  options.add(&temperature,
              {.name = "temperature",
               .help = "number that the logits are divided by before the softmax; 0: the one that is stored with the "
                       "weights (`mien calibrate`), else 1",
               .minimum = 0,
               .maximum = 100,
               .source = "Guo et al. 2017, arXiv:1706.04599",
               .only_with = {{"output", "probabilities"}}});
}

}  // namespace mien::exporting
