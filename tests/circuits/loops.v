// What cannot be simulated: a ring of three inverters (KIND 0), a latch of two gates (1), the SPI (2) and I2C (3) blocks, the LED driver's
// PWM (4), a trimmed oscillator (5), an SPRAM that is put to sleep (6).
`default_nettype none

module loops #(parameter KIND = 0) (
    input wire ICE_35,
    output wire ICE_27
);
    generate
        if (KIND == 0) begin
            wire [2:0] ring;
            genvar i;
            for (i = 0; i < 3; i = i + 1)
                SB_LUT4 #(.LUT_INIT(16'h5555)) inverter (.I0(ring[i]), .I1(1'b0), .I2(1'b0), .I3(1'b0), .O(ring[(i + 1) % 3]));
            assign ICE_27 = ring[0];
        end
        if (KIND == 1) begin
            reg [3:0] count = 0;
            always @(posedge ICE_35) count <= count + 1;
            wire q, qn;
            SB_LUT4 #(.LUT_INIT(16'h1111)) a (.I0(count[3]), .I1(qn), .I2(1'b0), .I3(1'b0), .O(q));
            SB_LUT4 #(.LUT_INIT(16'h1111)) b (.I0(count[2]), .I1(q), .I2(1'b0), .I3(1'b0), .O(qn));
            assign ICE_27 = q;
        end
        if (KIND == 2) begin
            wire [7:0] data;
            SB_SPI #(.BUS_ADDR74("0b0000")) block (
                .SBCLKI(ICE_35), .SBSTBI(1'b0), .SBRWI(1'b0), .MI(1'b0), .SI(1'b0), .SCKI(1'b0), .SCSNI(1'b1), .SBDATO0(data[0])
            );
            assign ICE_27 = data[0];
        end
        if (KIND == 3) begin
            wire [7:0] data;
            SB_I2C #(.BUS_ADDR74("0b0001")) block (
                .SBCLKI(ICE_35), .SBSTBI(1'b0), .SBRWI(1'b0), .SCLI(1'b1), .SDAI(1'b1), .SBDATO0(data[0])
            );
            assign ICE_27 = data[0];
        end
        if (KIND == 4) begin
            wire pulse;
            SB_LEDDA_IP block (.LEDDCLK(ICE_35), .LEDDCS(1'b0), .LEDDEXE(1'b1), .LEDDDEN(1'b0), .PWMOUT0(pulse));
            assign ICE_27 = pulse;
        end
        if (KIND == 5) begin
            wire clock;
            reg [9:0] count = 0;
            SB_HFOSC #(.TRIM_EN("0b1")) source (.CLKHFPU(1'b1), .CLKHFEN(1'b1), .TRIM4(1'b1), .TRIM8(1'b1), .CLKHF(clock));
            always @(posedge clock) count <= count + 1;
            assign ICE_27 = count[9];
        end
        if (KIND == 6) begin
            reg [15:0] count = 0;
            always @(posedge ICE_35) count <= count + 1;
            wire [15:0] data;
            SB_SPRAM256KA ram (
                .ADDRESS(count[13:0]), .DATAIN(count), .MASKWREN(4'hf), .WREN(count[14]), .CHIPSELECT(1'b1), .CLOCK(ICE_35),
                .STANDBY(count[15]), .SLEEP(1'b0), .POWEROFF(1'b1), .DATAOUT(data)
            );
            assign ICE_27 = data[5];
        end
    endgenerate
endmodule
